"""Configs of the commands other than train."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from textloom.config.data import DataConfig, check_protocol
from textloom.config.section import Mark, Paths, PathText, Positive, Section, Unit
from textloom.config.tokenizer import TokenizerConfig


class GenerateConfig(Section):
    """What to generate, and with which run."""

    run: PathText
    """A run directory, or 'latest', or 'best': the lowest val/bits_per_char on the latest run's data."""
    outputs: PathText
    """Where latest and best look for runs."""
    checkpoint: Literal["best", "last"]
    """Which of the run's checkpoints."""
    prompt: Annotated[str, Mark.PROSE, Mark.VERBATIM] | None
    """The text to go on from; null for the one that the run's own samples start with."""
    length: Annotated[Positive, Unit("tokens")]
    """Tokens to generate; the text ends earlier where the model ends the document."""
    count: Annotated[Positive, Unit("texts")]
    """Texts to generate, side by side; 64 take far less time than 64 times one."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    """What to compute on; auto takes a GPU where there is one."""
    temperature: Annotated[float, Field(ge=0)]
    """Divides the logits: below 1 more predictable, above 1 more varied, 0 takes the likeliest token every time."""
    top_k: Annotated[Positive | None, Unit("tokens")]
    """Draw from the k likeliest tokens only; null for all."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    """Draw from the likeliest tokens that together have this probability; null for all."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None
    """The same seed gives the same text; null for another one each time."""


class EvaluateConfig(Section):
    """Which run to evaluate."""

    run: PathText
    """A run directory, or 'latest', or 'best'."""
    outputs: PathText
    """Where latest and best look for runs."""
    checkpoint: Literal["best", "last"]
    """Which of the run's checkpoints."""


class ExportConfig(Section):
    """Which run to export, how and where to."""

    run: PathText
    """A run directory, or 'latest', or 'best'."""
    outputs: PathText
    """Where latest and best look for runs."""
    checkpoint: Literal["best", "last"]
    """Which of the run's checkpoints."""
    format: Literal["folder", "onnx"]
    """A portable folder, or the single-step model as one ONNX file."""
    to: PathText | None
    """Where to write; null for exports/NAME_TIME."""


class PrepareConfig(Section):
    """Which data to make ready, and as which tokens."""

    data: DataConfig
    tokenizer: TokenizerConfig

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        check_protocol(self.data, self.tokenizer)
        return self


class CompareConfig(Section):
    """Which runs to compare, and how to show it."""

    runs: Paths
    """Run directories, folders of them or globs such as 'outputs/**', or a list of these."""
    metric: str
    """What to rank by: a name in results.json."""
    format: Literal["text", "csv", "md", "json", "html"]
    """What goes to stdout: a table for the terminal, for other programs, or a page that stands alone."""
    columns: Literal["narrow", "all"]
    """narrow: the keys that vary and change results, and what fits the terminal; all: every key that varies."""
