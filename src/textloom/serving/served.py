"""The served runs, by the model names of requests."""

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch

from textloom.config import ServeConfig, TrainConfig
from textloom.config.paths import with_home
from textloom.data.normalization import normalize_text
from textloom.errors import ConfigError, RunError
from textloom.evaluation.text import TextScore
from textloom.generation.generate import window_of
from textloom.generation.prompts import prompt_ids
from textloom.generation.reading import Reading
from textloom.generation.scoring import score_blocks
from textloom.models.language_model import LanguageModel
from textloom.runs.checkpoints import load_model
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.runs.signature import model_signature
from textloom.serving.echo import ScoredPrompt, expected_next, score_prompt
from textloom.serving.engine import Engine, EngineLimits
from textloom.system.devices import choose_device
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import valid_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A model that requests can name."""

    name: str
    config: TrainConfig
    tokenizer: Tokenizer
    model: LanguageModel
    signature: str
    engine: Engine
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def window(self) -> int | None:
        """Tokens of the windows that the model was trained on; None if it carries its state."""
        return _window(self.config)

    @cached_property
    def token_text(self) -> Callable[[int], str]:
        """The text of a token by itself. The texts are kept: an answer with log-probabilities names many tokens."""
        return cache(self.tokenizer.token_text)

    def prompt_ids(self, prompt: str, context: Sequence[int] = ()) -> list[int]:
        """The tokens of a prompt in the form of the training text, after the last tokens before it."""
        return prompt_ids(self.tokenizer, self.normal(prompt), context)

    def normal(self, text: str) -> str:
        """The text in the normalization form of the training text."""
        return normalize_text(valid_text(text), self.config.data.normalization)

    def score(self, text: str, ends: bool, before: Reading | None) -> Generator[None, None, TextScore]:
        """The likelihood of a text, from the beginning of a document or after an earlier reading.

        Pauses after each block of tokens.
        """
        reading = before or Reading.beginning(self.tokenizer.end_id)
        return score_blocks(self.model, self.tokenizer, reading, self.normal(text), ends=ends, window=self.window)

    def score_prompt(
        self, ids: Sequence[int], most: int, before: Reading, *, only_next: bool
    ) -> Generator[None, None, ScoredPrompt]:
        """The log-probabilities of a prompt's tokens, and of the ``most`` likeliest at each place and after them.

        With ``only_next`` those after them alone. Pauses after each block of tokens.
        """
        if only_next:
            return expected_next(self.model, before, ids, most=most, window=self.window)
        return score_prompt(self.model, self.tokenizer, before, ids, most=most, window=self.window)

    @property
    def description(self) -> str:
        """The kind and size of the model in a few words."""
        model = self.config.model
        size = (
            "" if model.is_ngram else f", {model.layers} layer{'s' if model.layers > 1 else ''} of {model.units} units"
        )
        return (
            f"{model.kind}{size}, {self.config.tokenizer.kind} tokenizer of {self.tokenizer.vocabulary_size:,} entries"
        )

    def as_json(self) -> dict[str, Any]:
        """The model as ``/v1/models`` lists it."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "textloom",
            "signature": self.signature,
            "description": self.description,
            "vocabulary_size": self.tokenizer.vocabulary_size,
        }


def serve_runs(config: ServeConfig) -> dict[str, Served]:
    """Load the runs of a config, by their names.

    Raises RunError if one cannot be loaded or is being trained, ConfigError if two have the same name.
    """
    device = choose_device(config.accelerator, "accelerator")
    limits = EngineLimits(config.rows, config.queue, config.max_seconds)
    found: dict[str, Served] = {}
    directories: list[Path] = []
    for given, path in _named(config.run):
        run = find_run(with_home(path, "run"), Path(config.outputs), config.checkpoint)
        _refuse_unfinished(run)
        trained, tokenizer, model = load_model(run, config.checkpoint)
        name = (given or trained.name).replace("/", "-")
        if name in found:
            raise ConfigError(f"run={path}: there is another model {name}; name them, as in run={{one: A, two: B}}")
        window = _window(trained)
        signature = model_signature(model, tokenizer, window)
        model = model.to(device)
        _refuse_windows(model, window, name)
        found[name] = Served(name, trained, tokenizer, model, signature, Engine(model, tokenizer, window, limits))
        directories.append(run.directory)
    for name, directory in zip(found, directories, strict=True):
        log.info("%s: %s", name, directory)
    return found


def _named(runs: Mapping[str, str] | tuple[str, ...]) -> list[tuple[str | None, str]]:
    return list(runs.items()) if isinstance(runs, Mapping) else [(None, path) for path in runs]


def _window(config: TrainConfig) -> int | None:
    return None if config.model.is_ngram else window_of(config.batching)


def _refuse_unfinished(run: Run) -> None:
    if not run.is_export and run.status().get("status") == "running":
        raise RunError(f"run={run.directory}: is being trained; wait until it ends, or serve an export of it")


def _refuse_windows(model: LanguageModel, window: int | None, name: str) -> None:
    """Raises RunError for a cell that reads windows without prepared layers, whose rows cannot begin one by one."""
    with torch.inference_mode():
        if window and not model.decoder(1, window).recordable:  # no prepared layers
            raise RunError(
                f"{name}: its cell has no fast_layers, and windows need them here; train it with batching=stream"
            )
