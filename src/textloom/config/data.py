"""Which text, which tokens, and which batches of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from textloom.config.parts import GivenFiles, RowKeys, SplitKeys
from textloom.config.patents import PatentSelection
from textloom.config.section import PathText, Positive, Section
from textloom.config.tokenizer import TokenizerConfig


class ToyData(SplitKeys):
    """The small text about deep learning that comes with textloom."""

    kind: Literal["toy"]


class TextFiles(GivenFiles):
    """Plain text files in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark; also as gz, bz2, xz, zst or zip."""

    kind: Literal["text_files"]
    documents: Literal["file", "blank_line", "line"]
    """What one document is: a whole file, a block between blank lines, or a line."""
    protocol: Literal["nanogpt", "char_rnn", "torch_rnn"] | None = None
    """A well-known split of one file: its last tenth validates; the tails of 50 rows do; 80/10/10. Null for shares."""

    @property
    def has_test_part(self) -> bool:
        """As the protocol has it."""
        return super().has_test_part if self.protocol is None else self.protocol == "torch_rnn"

    @property
    def by_share(self) -> bool:
        """A protocol has its own shares."""
        return self.protocol is None and super().by_share

    @model_validator(mode="after")
    def _protocol_stands_alone(self) -> Self:
        if self.protocol is not None and (any(self.given) or self.documents != "file"):
            raise ValueError(
                f"protocol={self.protocol} cuts one file; leave out validation_path and test_path, "
                "and set data.documents=file"
            )
        return self


class Table(GivenFiles, RowKeys):
    """CSV, TSV, JSON or Parquet, plain or as gz, bz2, xz, zst or zip, with one document a row."""

    kind: Literal["table"]


class Hub(RowKeys):
    """A data set of the Hugging Face Hub, or a local folder in its layout."""

    kind: Literal["hub"]
    path: PathText
    """Its id, such as ccdv/patent-classification, or a folder."""
    name: str | None = None
    """Which of its configurations; null where there is one."""
    split: str = "train"
    """Its split that trains, or that is split."""
    validation_split: str | None = None
    """Its split that validates, as it is; null for a share of split."""
    test_split: str | None = None
    """Its split that is tested on, as it is; null for a share of split, or none where validation_split is given."""
    revision: str | None = None
    """A commit, tag or branch; null for the newest, whose commit is written into provenance.json."""
    streaming: bool = False
    """Read from the network while it is encoded, where it does not fit on the disk; else the Hub's cache keeps it."""

    @property
    def given(self) -> tuple[bool, bool]:
        """Whether there are splits for it."""
        return self.validation_split is not None, self.test_split is not None


class Patents(PatentSelection, SplitKeys):
    """Patent abstracts: the article's CSV, PatentsView's g_patent_abstract.tsv, or a selection from the portal."""

    kind: Literal["patents"]
    protocol: Literal["article"] | None = None
    """article: the data of "Recurrent Neural Networks by Example in Python" as published, leaky; null: clean."""
    article_window: Positive = 50
    """With protocol=article: tokens of context in a window, which batching.context must equal."""

    @property
    def has_test_part(self) -> bool:
        """The article has none."""
        return self.protocol is None and super().has_test_part

    @property
    def leaky(self) -> bool:
        """The article's windows overlap those that validate."""
        return self.protocol == "article"


DataConfig = Annotated[ToyData | TextFiles | Table | Patents | Hub, Field(discriminator="kind")]


class WindowsConfig(Section):
    """Many-to-one, as in the tutorials: a window of tokens predicts the one after it."""

    kind: Literal["windows"]
    context: Positive
    """Tokens that a window shows before its target."""
    stride: Positive
    """Targets from one training window to the next; evaluation always scores every target."""
    shortest_context: Positive
    """Shortest context trained on, in tokens, met at the beginning of documents; shorter ones are left out."""

    @model_validator(mode="after")
    def _shortest_fits(self) -> Self:
        if self.shortest_context > self.context:
            raise ValueError(
                f"shortest_context={self.shortest_context} is longer than context={self.context}; lower it"
            )
        return self


class DocumentsConfig(Section):
    """Many-to-many within each document: documents of similar length side by side, padded and masked."""

    kind: Literal["documents"]
    steps: Positive
    """Tokens between two cuts of the gradient, at most: a longer document goes on in equal pieces, with its state."""


class StreamConfig(Section):
    """Many-to-many over all documents end to end: truncated backpropagation with carried state."""

    kind: Literal["stream"]
    steps: Positive
    """Tokens between two cuts of the gradient."""
    evaluation_rows: Positive
    """Parallel rows in evaluation; 1 carries one state through the whole text, more are faster and score worse."""


BatchingConfig = Annotated[WindowsConfig | DocumentsConfig | StreamConfig, Field(discriminator="kind")]


def check_protocol(data: DataConfig, tokenizer: TokenizerConfig, batching: BatchingConfig | None = None) -> None:
    """The article's data is windows of the article's words. Raises ValueError for anything else."""
    if not data.leaky:
        if tokenizer.level == "article":
            raise ValueError("tokenizer=article goes with data.protocol=article alone; choose tokenizer=word")
        return
    window = getattr(data, "article_window", None)
    if tokenizer.level != "article":
        raise ValueError(f"data.protocol=article needs tokenizer=article, not {tokenizer.level}")
    if batching is not None and (not isinstance(batching, WindowsConfig) or batching.context != window):
        raise ValueError(
            f"data.protocol=article deals out windows of {window} tokens; set batching=windows "
            f"batching.context={window}, or another data.article_window"
        )
