"""Configs of the commands except train."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from textloom.config.data import DataConfig, check_protocol
from textloom.config.section import Mark, Paths, PathText, Positive, Section, Unit
from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.registry import OneOf


class GenerateConfig(Section):
    """Text to generate, and the run that generates it."""

    run: PathText
    """A run directory, 'latest', or 'best': the lowest val/bits_per_char on the data of the latest run."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the run."""
    prompt: Annotated[str, Mark.PROSE, Mark.VERBATIM] | None
    """The text to continue; null for the prompt of the run's own samples."""
    length: Annotated[Positive, Unit("tokens")]
    """Tokens to generate; the text ends earlier if the model ends the document."""
    count: Annotated[Positive, Unit("texts")]
    """Texts to generate in one batch, which is much faster than one after the other."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    """Device to compute on; auto takes a GPU if there is one."""
    temperature: Annotated[float, Field(ge=0)]
    """Divides the logits: below 1 more predictable, above 1 more varied, 0 always takes the likeliest token."""
    top_k: Annotated[Positive | None, Unit("tokens")]
    """Sample from the k likeliest tokens; null for all."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    """Sample from the likeliest tokens with this total probability; null for all."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None
    """Seed of the sampling: the same seed gives the same text; null for a new seed each time."""


class EvaluateConfig(Section):
    """The run to evaluate, and the protocol."""

    run: PathText
    """A run directory, 'latest' or 'best'."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the run."""
    protocol: Literal["training", "stream", "streams", "windows", "sliding", "documents"]
    """How the text is cut into rows that begin without context; training: as the run was validated.

    stream: one pass with carried state. streams: several equal pieces. windows: pieces of window tokens, each fresh.
    sliding: every target after the window tokens before it in its document. documents: each document by itself."""
    window: Annotated[Positive, Unit("tokens")]
    """Tokens of a window, for protocol=windows and protocol=sliding."""
    streams: Annotated[Positive, Unit("rows")]
    """Pieces of the text, for protocol=streams."""


class ExportConfig(Section):
    """The run to export, the format and the target."""

    run: PathText
    """A run directory, 'latest' or 'best'."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the run."""
    format: Literal["folder", "onnx"]
    """A portable folder, or the single-step model as one ONNX file."""
    to: PathText | None
    """Target path; null for exports/NAME_TIME."""


class PrepareConfig(Section):
    """The data to prepare, and the tokenizer."""

    data: DataConfig
    tokenizer: Annotated[TokenizerConfig, OneOf(TOKENIZERS)]

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        check_protocol(self.data, self.tokenizer)
        return self


class CompareConfig(Section):
    """The runs to compare, and the format of the comparison."""

    runs: Paths
    """Run directories, folders of them or globs such as 'outputs/**', or a list of these."""
    metric: str
    """The figure to rank by, by its name in results.json."""
    format: Literal["text", "csv", "md", "json", "html"]
    """Format of standard output: a table for the terminal, data for other programs, or a self-contained page."""
    columns: Literal["narrow", "all"]
    """narrow: the varying keys that change results, fitted to the terminal; all: every key that varies."""
