"""Configs of the commands except train and generate."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from textloom.config.data import DataConfig, check_protocol
from textloom.config.section import Paths, PathText, Positive, Section, Unit
from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.registry import OneOf


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
