"""Config of the command generate."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from textloom.config.section import Mark, Paths, PathText, Positive, Section, Unit, as_tuple

DEFAULT_LENGTH = 300
TOKENS_PER_CHARACTER = 4  # at most, in UTF-8 bytes
TOKENS_PER_SENTENCE = 2000
MOST_ROWS = 1024  # texts drawn side by side
ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}


def _with_escapes(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    r"""The texts with a line end for ``\n``, a tab for ``\t`` and a backslash for ``\\``, as a shell passes them on."""
    return None if texts is None else tuple(_unescaped(text) for text in texts)


def _unescaped(text: str) -> str:
    parts, rest = [], text
    while rest:
        step = 2 if rest[:2] in ESCAPES else 1
        parts.append(ESCAPES.get(rest[:2], rest[:1]))
        rest = rest[step:]
    return "".join(parts)


def _keys_with_escapes(numbers: dict[str, float]) -> dict[str, float]:
    return {_unescaped(text): number for text, number in numbers.items()}


def _none_empty(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if texts is not None and "" in texts:
        raise ValueError("an empty text is everywhere; give at least one character, or null for none")
    return texts


ShellTexts = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(as_tuple),
    AfterValidator(_with_escapes),
    AfterValidator(_none_empty),
    Mark.PROSE,
]


class SamplingKeys(Section):
    """Settings for drawing the next token. The names are those of ``transformers``."""

    temperature: Annotated[float, Field(ge=0)]
    """Divides the logits: below 1 more predictable, above 1 more varied, 0 always takes the likeliest token."""
    top_k: Annotated[Positive | None, Unit("tokens")]
    """Sample from the k likeliest tokens; null for all."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    """Sample from the likeliest tokens with this total probability; null for all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Sample from the tokens with at least this share of the highest probability; null for all."""
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from the tokens whose information is nearest to the entropy, of this total probability; null for all."""
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    """Divides positive logits, and multiplies negative ones, of tokens in the prompt or the text; 1 for none."""
    presence_penalty: float = 0.0
    """Subtracted from the logits of tokens that the text has already; the prompt does not count."""
    frequency_penalty: float = 0.0
    """Subtracted from the logits of tokens once for each time that the text has them; the prompt does not count."""
    no_repeat_ngram_size: Annotated[Positive | None, Unit("tokens")] = None
    """No sequence of so many tokens is written twice, prompt included; null for no limit."""


class BeamKeys(SamplingKeys):
    """Beam search in the place of sampling. The names are those of ``transformers``."""

    num_beams: Annotated[Positive, Unit("texts")] = 1
    """Texts that a beam search follows; with more than 1 nothing is drawn, and only the penalties act."""
    num_beam_groups: Annotated[Positive, Unit("groups")] = 1
    """Groups of beams that are kept different from each other."""
    diversity_penalty: Annotated[float, Field(ge=0)] = 0.0
    """Subtracted from the log-probability of a token for each beam of an earlier group that takes it in this step."""
    length_penalty: float = 1.0
    """Beams are ranked by log-probability / tokens ** length_penalty: above 0 longer texts are preferred."""

    @model_validator(mode="after")
    def _groups_fit_beams(self) -> Self:
        if self.num_beams % self.num_beam_groups:
            raise ValueError(
                f"num_beam_groups={self.num_beam_groups}: does not divide num_beams={self.num_beams}; "
                "give a divisor of it"
            )
        if self.diversity_penalty and self.num_beam_groups == 1:
            raise ValueError("diversity_penalty: acts between groups of beams; set num_beam_groups, or leave it out")
        return self


class GenerateConfig(BeamKeys):
    """Text to generate, and the run that generates it."""

    run: PathText
    """A run directory, 'latest', or 'best': the lowest val/bits_per_char on the data of the latest run."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the run."""
    prompt: Annotated[str, Mark.PROSE, Mark.VERBATIM] | None
    """The text to continue; null for the prompt of the run's own samples."""
    prompts: PathText | None = None
    """A file of prompts, one on each line, or JSON lines with a key prompt; - reads standard input."""
    state: PathText | None = None
    """A file with the state of a text that was read before, which the prompt continues from; null for none."""
    save_state: PathText | None = None
    """File to write the state after the text to, from which it can be continued; null for none."""
    length: Annotated[Positive | None, Unit("tokens")]
    """Tokens to generate; a text ends earlier if the model ends the document. null: 300, or enough for the next two."""
    characters: Annotated[Positive | None, Unit("characters")] = None
    """Characters to generate; null for no limit."""
    sentences: Annotated[Positive | None, Unit("sentences")] = None
    """Sentences to generate: each ends with . ! ? or the like before white space; null for no limit."""
    stop: ShellTexts = None
    r"""Texts before which the generated text ends; ``\n`` is a line end. null for none."""
    ban: ShellTexts = None
    """Texts that are never written, token by token as the tokenizer splits them; null for none."""
    bias: Annotated[dict[str, float], AfterValidator(_keys_with_escapes)] = Field(default_factory=dict)
    """Added to the logits of single tokens, as in bias="{e: -2}"."""
    regex: Annotated[str, Mark.PROSE] | None = None
    """A regular expression that the generated text has to match; null for any text. This and the next two need the
    extra textloom[constrained]."""
    words: ShellTexts = None
    """Words of which the generated text has to consist, with a space between two; null for any text."""
    json_schema: PathText | None = None
    """A file with a JSON schema that the generated text has to match; null for any text."""
    count: Annotated[Positive, Unit("texts")]
    """Texts to generate for each prompt, side by side, which is much faster than one after the other."""
    mix: Paths | None = None
    """Runs whose probabilities are averaged with those of run, networks or n-grams; null for none."""
    mix_weight: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the runs in mix together; each has an equal part of it."""
    contrast: PathText | None = None
    """A weaker run, such as an n-gram, whose log-probabilities are subtracted (contrastive decoding); null for none."""
    contrast_weight: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the log-probabilities that are subtracted."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    """Device to compute on; auto takes a GPU if there is one."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None
    """Seed that reproduces the first text; the seeds of the other texts are derived from it. null: a new one."""
    row: Annotated[int, Field(ge=0)] = 0
    """Row of the batch in which a text was drawn, to draw it again to the last digit; with seed and rows."""
    rows: Annotated[int, Field(gt=0, le=MOST_ROWS)] | None = None
    """Rows of that batch. null: no text is drawn again."""
    format: Literal["text", "jsonl"] = "text"
    """jsonl: for each text a line with its tokens, their log-probabilities, seed, row and settings, and the run."""
    memorization: bool = False
    """Report how much of each text is copied from the training text: on standard error, or in the JSON line."""
    stream: bool | None = None
    """Write a single text while it is drawn; null: if standard output is a terminal."""

    @property
    def most_tokens(self) -> int:
        """``length``; if it is open, 300 or as many as ``characters`` or ``sentences`` need."""
        if self.length is not None:
            return self.length
        needed = []
        if self.characters is not None:
            needed.append(TOKENS_PER_CHARACTER * self.characters)
        if self.sentences is not None:
            needed.append(TOKENS_PER_SENTENCE * self.sentences)
        return min(needed, default=DEFAULT_LENGTH)

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if sum(one is not None for one in (self.regex, self.words, self.json_schema)) > 1:
            raise ValueError("regex, words and json_schema: each says what may be written; give one of them")
        if self.prompts is not None and self.prompt is not None:
            raise ValueError("prompts: the prompt is given too; leave one of them out")
        if self.save_state is not None and (self.count > 1 or self.prompts is not None):
            raise ValueError("save_state: each text has a state of its own; set count=1 and a prompt")
        if self.stream and (self.count > 1 or self.prompts is not None):
            raise ValueError("stream: several texts are drawn side by side; set count=1 and a prompt, or stream=false")
        if self.num_beams > 1 and self.count > self.num_beams:
            raise ValueError(
                f"count={self.count}: a search with num_beams={self.num_beams} finds at most as many texts; lower it"
            )
        if self.rows is None and self.row:
            raise ValueError(f"row={self.row}: rows is missing; give both as in the JSON line of the text")
        if self.rows is not None and self.row >= self.rows:
            raise ValueError(
                f"row={self.row}: the rows are 0 to {self.rows - 1}; give both as in the JSON line of the text"
            )
        if self.rows is not None and (self.count > 1 or self.prompts is not None):
            raise ValueError("rows: one text is drawn again; set count=1 and a prompt, or leave out rows")
        if self.rows is not None and self.num_beams > 1:
            raise ValueError("rows: a beam search draws nothing, and finds the same again; leave out rows")
        if self.stream and self.rows is not None:
            raise ValueError("stream: a text that is drawn again is written at its end; leave out stream=true")
        if self.stream and self.num_beams > 1:
            raise ValueError("stream: a beam search knows its text at the end; set num_beams=1, or stream=false")
        if self.stream and self.format == "jsonl":
            raise ValueError("stream: a JSON line is written when its text is complete; leave out stream=true")
        return self
