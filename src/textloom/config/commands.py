"""Configs of the commands except train and generate."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from textloom.config.data import DataConfig, check_protocol
from textloom.config.section import Paths, PathText, Positive, Section, Unit
from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.registry import OneOf


class ScoredTextConfig(Section):
    """A text to score."""

    path: Paths | None
    """Files, a glob or a list of them to score; - is standard input; null for the held-out splits of the run."""
    documents: Literal["file", "blank_line", "line"]
    """The unit of a document: a whole file, a block between blank lines, or a line."""


class EvaluateConfig(Section):
    """The run to evaluate, and the protocol."""

    run: PathText
    """A run directory, 'latest' or 'best'."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the run."""
    protocol: Literal["training", "stream", "streams", "windows", "sliding", "documents"]
    """Evaluation protocol: the rows into which the text is cut, each begun without context; training: the run's own.

    stream: one pass with carried state. streams: several equal pieces. windows: pieces of window tokens, each fresh.
    sliding: every target after the window tokens before it in its document. documents: each document by itself."""
    window: Annotated[Positive, Unit("tokens")]
    """Tokens of a window, for protocol=windows and protocol=sliding."""
    streams: Annotated[Positive, Unit("rows")]
    """Pieces of the text, for protocol=streams."""
    temperature: Annotated[float, Field(gt=0)] | None
    """Divides the logits before the softmax; null for none."""
    dynamic: bool
    """Dynamic evaluation: after tokens are scored, a gradient step is taken on them. The run is not changed.

    Needs protocol=stream."""
    dynamic_steps: Annotated[Positive, Unit("tokens")]
    """Tokens that are scored and learned from at a time."""
    dynamic_learning_rate: Annotated[float, Field(ge=0)]
    """Length of a step, in units of the root mean square of the weight's gradient on the training split."""
    dynamic_decay: Annotated[float, Field(ge=0)]
    """Strength of the pull of the weights back to the trained ones."""
    dynamic_epsilon: Annotated[float, Field(gt=0)]
    """Added to the root mean square, so that weights with rare gradients take no long steps."""
    cache: bool
    """Continuous cache: tokens that followed similar hidden states are likely to follow again.

    Needs protocol=stream."""
    cache_size: Annotated[Positive, Unit("tokens")]
    """Number of most recent tokens in the cache."""
    cache_weight: Annotated[float, Field(ge=0, lt=1)]
    """Share of the cache in the prediction."""
    cache_sharpness: Annotated[float, Field(ge=0)]
    """Factor on the dot products of hidden states; 0 counts all tokens of the cache alike."""
    mix: PathText | None
    """A run with the same vocabulary whose predictions are mixed in; ngram: the best n-gram of the training split."""
    mix_weight: Annotated[float, Field(ge=0, le=1)]
    """Share of the other model in the prediction."""
    tune: bool
    """Tune learning rate, decay, weights, sharpness and temperature of the chosen methods on the validation split."""
    tune_targets: Annotated[Positive | None, Unit("targets")]
    """Targets at the beginning of the validation split that settings are tuned on; null for all."""
    data: ScoredTextConfig
    per_token: PathText | None
    """File to write the text, offset, loss, rank and entropy of each token to: FILE.parquet or FILE.jsonl; or null."""
    analysis: bool
    """Write calibration and the loss by position in the document and by frequency of the token, for TensorBoard."""


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


class InspectConfig(Section):
    """The run to inspect, and the text to inspect it on."""

    run: PathText
    """A run directory, an export, 'latest' or 'best'."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the run."""
    text: PathText | None
    """A text file, read as one document; null for the validation split."""
    tokens: Annotated[int, Field(gt=1, le=100_000), Unit("tokens")]
    """Tokens of the text to read, from its beginning; a page of more of them is larger and slower."""
    distance: Annotated[int, Field(gt=0, le=10_000), Unit("tokens")]
    """Distance up to which gradients are followed back in time."""
    to: PathText | None
    """File to write the page to; null for inspections/NAME_TIME.html."""
    tensorboard: PathText | None
    """Folder for the same charts in TensorBoard, with the embeddings in its projector; null writes none."""


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
