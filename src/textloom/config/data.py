"""The registry of data sources, and the configs of batching."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from textloom.config.section import Fraction, Positive, Section, Unit
from textloom.config.source_keys import SplitKeys
from textloom.config.tokenizer import TokenizerConfig
from textloom.registry import OneOf, Registry

SOURCES = Registry[SplitKeys]("data source", "textloom.sources", package="textloom.data.sources")
"""The data sources, each with a config class and a ``textloom.data.sources.Source``."""

DataConfig = Annotated[SplitKeys, OneOf(SOURCES)]


class BatchingKeys(Section):
    """Keys of every kind of batching."""

    singleton_dropout: Fraction = 0.0
    """Probability that a word which occurs once in the training split is <unk> in an epoch, as input and as target.

    With tokenizer.minimum_frequency=1, <unk> would never occur in training. Evaluation reads the text as it is."""


class WindowsConfig(BatchingKeys):
    """Windows of tokens, shuffled: many-to-one as in the tutorials, a window predicts the token after it."""

    kind: Literal["windows"]
    context: Annotated[Positive, Unit("tokens")]
    """Tokens that a window shows before its target."""
    stride: Annotated[Positive, Unit("targets")]
    """Targets from one training window to the next; evaluation always scores every target."""
    shortest_context: Annotated[Positive, Unit("tokens")]
    """Shortest context trained on, in tokens, met at the beginning of documents; shorter ones are left out.

    With targets=all it is the shortest window, met at the end of the text."""
    targets: Literal["last", "all"] = "last"
    """Targets of a training window. last: the token after it. all: each of its tokens predicts the next.

    With all, windows are cut from all documents end to end. Each target occurs once in an epoch if stride is context.
    Validation has the protocol sliding with last and windows with all, of context tokens; with
    data.protocol=article it is always sliding."""

    @model_validator(mode="after")
    def _shortest_fits(self) -> Self:
        if self.shortest_context > self.context:
            raise ValueError(
                f"shortest_context={self.shortest_context} is longer than context={self.context}; lower it"
            )
        return self


class DocumentsConfig(BatchingKeys):
    """Many-to-many within each document: documents of similar length side by side, padded and masked."""

    kind: Literal["documents"]
    steps: Annotated[Positive, Unit("tokens")]
    """Most tokens of a batch through which gradients flow: longer documents are read in equal pieces, state carried."""


class StreamConfig(BatchingKeys):
    """Many-to-many over all documents end to end: truncated backpropagation with carried state."""

    kind: Literal["stream"]
    steps: Annotated[Positive, Unit("tokens")]
    """Tokens of a batch in each row: gradients are cut after so many."""
    random_steps: bool = False
    """Draw the length of each training batch: steps in 95 % of them, else half, plus or minus about 5 tokens.

    The learning rate of a step is multiplied by the length of its batch over steps."""
    evaluation_rows: Annotated[Positive, Unit("rows")]
    """Parallel rows in evaluation; 1 carries one state through the whole text, more are faster and score worse."""


BatchingConfig = Annotated[WindowsConfig | DocumentsConfig | StreamConfig, Field(discriminator="kind")]


def check_protocol(data: DataConfig, tokenizer: TokenizerConfig, batching: BatchingConfig | None = None) -> None:
    """Check that a protocol, its tokenizer and its windows fit each other. Raises ValueError if they do not."""
    if data.dealt_window is None:
        if tokenizer.protocol is not None:
            raise ValueError(
                f"tokenizer={tokenizer.kind} goes with data.protocol={tokenizer.protocol} alone; choose tokenizer=word"
            )
        return
    protocol, window = data.split_protocol, data.dealt_window
    if tokenizer.protocol != protocol:
        raise ValueError(f"data.protocol={protocol} needs tokenizer={protocol}, not {tokenizer.kind}")
    if batching is not None and (not isinstance(batching, WindowsConfig) or batching.context != window):
        raise ValueError(
            f"data.protocol={protocol} deals out windows of {window} tokens; set batching=windows "
            f"batching.context={window}, or another data.{protocol}_window"
        )
