"""Plan the texts that a config of ``generate`` asks for, and draw them."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from textloom.config import GenerateConfig, TrainConfig
from textloom.config.generation import BeamKeys
from textloom.data.encoding import load_splits
from textloom.data.normalization import normalize_text
from textloom.errors import ConfigError, RunError
from textloom.evaluation.memorization import Memorization, TrainingText
from textloom.evaluation.text import TextScore
from textloom.generation.constraint import build_grammar
from textloom.generation.generate import default_prompt, draw_again, draw_texts, open_prompt, stream_text, window_of
from textloom.generation.mixture import MixedModel, Partner
from textloom.generation.prompt_file import read_prompts
from textloom.generation.prompts import encode_after, read_prompt, shorter_than_window
from textloom.generation.reading import CONTEXT, Reading
from textloom.generation.requests import Beams, Generated, Opening, Place, Request, Rules
from textloom.generation.sampling import Sampling, TokenRules, text_seeds
from textloom.generation.scoring import score_after
from textloom.generation.state import State
from textloom.generation.text import Limits, written
from textloom.models.language_model import LanguageModel
from textloom.runs.checkpoints import load_model
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.runs.signature import model_signature
from textloom.system.devices import choose_device
from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

LIMIT_KEYS = (
    "length", "characters", "sentences", "stop", "ban", "bias", "regex", "words", "json_schema",
    "mix", "mix_weight", "contrast", "contrast_weight",
)  # fmt: skip
"""Keys that change texts, beside those of the sampling."""


@dataclass(frozen=True)
class GenerationPlan:
    """The texts to draw, and from which model."""

    config: GenerateConfig
    model: LanguageModel
    tokenizer: Tokenizer
    requests: list[Request]
    rules: Rules
    training_text: TrainingText | None = None
    """The text to compare with, if the config asks for it."""

    @property
    def may_stream(self) -> bool:
        """True if there is one text, which can be written while it is drawn."""
        alone = len(self.requests) == 1 and self.config.rows is None
        return alone and self.config.format == "text" and self.rules.beams is None

    def texts(self) -> list[Generated]:
        """Draw all texts."""
        if self.config.rows is not None:
            (request,), place = self.requests, Place(self.config.row, self.config.rows)
            return [draw_again(self.model, self.tokenizer, request, self.rules, place)]
        return draw_texts(self.model, self.tokenizer, self.requests, self.rules)

    def pieces(self, done: Callable[[Generated], None] | None = None) -> Iterator[str]:
        """The only text, in pieces while it is drawn; ``done`` gets it when it is whole."""
        (request,) = self.requests
        return stream_text(self.model, self.tokenizer, request, self.rules, done)

    def state_after(self, text: Generated) -> State:
        """The model's state after the only text."""
        reading = self.requests[0].opening.reading
        ids, new = text.tokens, text.text[len(text.prompt) :]
        if written(self.tokenizer, reading.context, ids) != new:  # the last token writes more than the text has
            ids = encode_after(self.tokenizer, reading.context, new)
        return State(self.signature, reading.further(self.model, ids, self.rules.window))

    def as_json(self, text: Generated) -> str:
        """A text as a line of JSON."""
        record = {
            "text": text.text,
            "prompt": text.prompt,
            "tokens": text.tokens,
            "logprobs": [round(number, 6) for number in text.logprobs],
            "ending": text.ending,
            "seed": text.seed,
            "row": text.place.row,
            "rows": text.place.rows,
            "settings": self._settings,
            "run": self.signature,
        }
        if self.training_text is not None:
            record["memorization"] = self.memorization_of(text).to_dict()
        if text.score is not None:
            record["score"] = round(text.score, 6)
        return json.dumps(record, ensure_ascii=False)

    def memorization_of(self, text: Generated) -> Memorization:
        """The memorization of a text: its copies from the training text."""
        assert self.training_text is not None
        return self.training_text.compare(text.tokens, self.tokenizer.encode(text.prompt).tolist()[-CONTEXT:])

    @cached_property
    def signature(self) -> str:
        """The signature of the model."""
        return model_signature(self.model, self.tokenizer, self.rules.window)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        keys = {*BeamKeys.model_fields, *LIMIT_KEYS}
        return self.config.model_dump(mode="json", include=keys) | {"length": self.rules.limits.length}


@dataclass(frozen=True)
class Reader:
    """A trained model that reads texts."""

    run: Run
    trained: TrainConfig
    tokenizer: Tokenizer
    model: LanguageModel

    @property
    def window(self) -> int | None:
        """Tokens of the windows that the model was trained on; None if it carries its state."""
        return None if self.trained.model.is_ngram else window_of(self.trained.batching)

    @property
    def signature(self) -> str:
        """The signature of the model."""
        return model_signature(self.model, self.tokenizer, self.window)

    def open(self, prompt: str | None, key: str | None = None, before: Reading | None = None) -> Opening:
        """Read a prompt in the form of the training text, after a reading if there is one."""
        if prompt is not None:
            form, goes_on = self.trained.data.normalization, before is not None
            prompt = read_prompt(prompt, self.tokenizer, form, key, goes_on=goes_on)
        return open_prompt(self.model, self.tokenizer, prompt, self.window, before)

    def reading_of(self, state: State | None) -> Reading | None:
        """The reading of a state. Raises RunError if it is of another model."""
        return None if state is None else state.reading_for(self.signature, self.model.device)

    def read(self, text: str, state: State | None = None) -> State:
        """The model's state after reading a text, from its beginning or after another state."""
        return State(self.signature, self.open(text, "text", self.reading_of(state)).reading)

    def score(self, text: str, state: State, ends: bool) -> TextScore:
        """The likelihood of a text after a state."""
        reading = self.reading_of(state)
        assert reading is not None
        text = normalize_text(text, self.trained.data.normalization)
        return score_after(self.model, self.tokenizer, reading, text, ends=ends, window=self.window)


def build_reader(run: Run, loaded: tuple[TrainConfig, Tokenizer, LanguageModel], accelerator: str) -> Reader:
    """The reader of a run, with its model on a device."""
    trained, tokenizer, model = loaded
    return Reader(run, trained, tokenizer, model.to(choose_device(accelerator, "accelerator")))


def with_partners(reader: Reader, config: GenerateConfig) -> Reader:
    """The reader of the runs that write together. Raises ConfigError if their tokenizers or windows differ."""
    names = [(name, "mix") for name in config.mix or ()] + ([(config.contrast, "contrast")] if config.contrast else [])
    if not names:
        return reader
    partners: list[Partner] = []
    for name, key in names:
        run = find_run(name, Path(config.outputs), key=key)
        trained, tokenizer, model = load_model(run, "best")
        _refuse_other_tokens(reader, run, key, tokenizer)
        window = None if trained.model.is_ngram else window_of(trained.batching)
        if window != reader.window and not trained.model.is_ngram:
            raise ConfigError(
                f"{key}={name}: {_reading(window)}, and {reader.run.directory} {_reading(reader.window)}; "
                "give a run that was trained in the same way"
            )
        model = model.to(reader.model.device)
        if key == "mix":
            partners.append(Partner(model, "average", config.mix_weight / len(config.mix or ())))
        else:
            partners.append(Partner(model, "contrast", config.contrast_weight))
    return replace(reader, model=MixedModel(reader.model, partners))


def _reading(window: int | None) -> str:
    return "carries its state" if window is None else f"reads windows of {window} tokens"


def _refuse_other_tokens(reader: Reader, run: Run, key: str, tokenizer: Tokenizer) -> None:
    if tokenizer.to_dict() != reader.tokenizer.to_dict():
        kinds = [f"{one.kind}, {one.vocabulary_size} entries" for one in (tokenizer, reader.tokenizer)]
        raise ConfigError(
            f"{key}={run.directory}: has another tokenizer ({kinds[0]}) than {reader.run.directory} ({kinds[1]}); "
            "give a run on the same text with the same tokenizer"
        )


def plan_generation(reader: Reader, config: GenerateConfig, state: State | None = None) -> GenerationPlan:
    """Read the prompts, after a state if there is one, and give each text its seed."""
    reader = with_partners(reader, config)
    if config.state is not None:
        state = State.load(config.state)
    model, tokenizer, window = reader.model, reader.tokenizer, reader.window
    openings = _openings(reader, config, reader.reading_of(state))
    sampling = Sampling.of(config)
    of_texts = [opening for opening in openings for _ in range(config.count)]
    seeds = text_seeds(config.seed, len(of_texts))
    requests = [Request(opening, sampling, seed) for opening, seed in zip(of_texts, seeds, strict=True)]
    limits = Limits(config.most_tokens, config.stop or (), config.characters, config.sentences)
    beams = Beams.of(config, tokenizer.vocabulary_size)
    rules = Rules(limits, token_rules(tokenizer, config), window, config.format == "jsonl", beams)
    return GenerationPlan(config, model, tokenizer, requests, rules, _training_text(reader, config))


def _training_text(reader: Reader, config: GenerateConfig) -> TrainingText | None:
    """The training text, if the config asks to compare with it. Raises RunError if the run does not have it."""
    if not config.memorization:
        return None
    if reader.run.is_export:
        raise RunError(
            f"memorization: {reader.run.directory} is an export, which has no training text; give the run that it was "
            "made of, or set memorization=false"
        )
    return TrainingText(load_splits(reader.run.tokens)["train"].tokens, reader.tokenizer)


def _openings(reader: Reader, config: GenerateConfig, before: Reading | None) -> list[Opening]:
    """The beginnings of the texts: the given prompts, a state, or the prompt of the run's samples."""
    run, tokenizer = reader.run, reader.tokenizer
    if config.prompts is not None:
        return [reader.open(prompt, "prompts", before) for prompt in read_prompts(config.prompts)]
    if config.prompt is not None or before is not None:
        opening = reader.open(config.prompt, "prompt" if config.prompt else None, before)
        window = reader.window
        if window and before is None and (note := shorter_than_window(tokenizer, opening.prompt, window)):
            log.info(note)
        return [opening]
    prompt = reader.trained.samples.prompt
    if prompt is None:
        # an export has the prompt with it, unless its texts are written from their beginning
        prompt = "" if run.is_export else default_prompt(tokenizer, load_splits(run.tokens)["train"].tokens)
    return [reader.open(prompt or None)]


def token_rules(tokenizer: Tokenizer, config: GenerateConfig) -> TokenRules:
    """The tokens of the texts in ``ban`` and ``bias``.

    A text that a tokenizer with spaces writes in two ways, after a space and without, is banned in both. Raises
    ConfigError for a text with characters that the vocabulary lacks, and for a bias of more than one token.
    """
    banned: list[tuple[int, ...]] = []
    for text in config.ban or ():
        _refuse_unknown(tokenizer, "ban", text)
        banned.append(tuple(tokenizer.encode(text).tolist()))
        if tokenizer.writes_spaces and not text.startswith(" ") and not tokenizer.unknown(f" {text}"):
            banned.append(tuple(tokenizer.encode(f" {text}").tolist()))
    bias: list[tuple[int, float]] = []
    for text, number in config.bias.items():
        _refuse_unknown(tokenizer, "bias", text)
        ids = tokenizer.encode(text).tolist()
        if len(ids) != 1:
            raise ConfigError(f"bias: {text!r} is {len(ids)} tokens, and only one can have a bias; give a single token")
        bias.append((ids[0], number))
    return TokenRules(tokenizer.end_id, tuple(dict.fromkeys(banned)), tuple(bias), build_grammar(tokenizer, config))


def _refuse_unknown(tokenizer: Tokenizer, key: str, text: str) -> None:
    if unknown := tokenizer.unknown(text):
        raise ConfigError(
            f"{key}: {unknown[0]!r} is not in the vocabulary, so that the model never writes it; leave it out"
        )
