"""Which text, which tokens, and which batches of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from textloom.config.patents import PatentSelection
from textloom.config.section import Fraction, Paths, Positive, Section


class SplitKeys(Section):
    """How documents become a training, a validation and a test part."""

    validation_fraction: Fraction
    """Share of the documents (of the characters, where there is one document) that validates."""
    test_fraction: Fraction
    """Share that is tested on, once, at the end; 0 for no test part."""
    split_seed: int
    """Which documents fall into which part; runs with the same data and split_seed are comparable."""
    fold_duplicates: bool
    """Keep one of the documents that differ only in case, punctuation or white space."""
    near_duplicates: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Similarity (Jaccard, of word 5-grams) from which on documents stay on one side of the split; null: not sought."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if not self.validation_fraction > 0:
            raise ValueError("validation_fraction=0 leaves nothing to validate on; give it a share such as 0.1")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on; lower one of them")
        return self


class ToyData(SplitKeys):
    """The small text about deep learning that comes with textloom."""

    kind: Literal["toy"]


class TextFiles(SplitKeys):
    """Plain UTF-8 text files."""

    kind: Literal["text_files"]
    path: Paths
    """A file or a glob such as 'books/*.txt', or a list of them."""
    documents: Literal["file", "blank_line"]
    """What one document is: a whole file, or a block between blank lines."""


class Table(SplitKeys):
    """CSV, TSV, JSON lines or Parquet with one document a row."""

    kind: Literal["table"]
    path: Paths
    """A file or a glob such as 'parts/*.parquet', or a list of them."""
    text_column: str
    """The column that holds the text."""


class Patents(PatentSelection, SplitKeys):
    """Patent abstracts: the article's CSV, PatentsView's g_patent_abstract.tsv, or a selection from the portal."""

    kind: Literal["patents"]


DataConfig = Annotated[ToyData | TextFiles | Table | Patents, Field(discriminator="kind")]


class CharTokenizerConfig(Section):
    """One token for each character of the training text."""

    level: Literal["char"]
    lowercase: bool
    """Fold the text to lower case first."""


class ByteTokenizerConfig(Section):
    """One token for each byte of the UTF-8 text: no text is unknown."""

    level: Literal["byte"]


class WordTokenizerConfig(Section):
    """Words and punctuation marks; spaces follow from them."""

    level: Literal["word"]
    lowercase: bool
    """Fold the text to lower case first."""
    minimum_frequency: Positive
    """How often a word must occur in the training text to enter the vocabulary."""
    maximum_size: Annotated[int, Field(ge=4)] | None
    """Most entries that the vocabulary may have, the special ones included; null for no limit."""


TokenizerConfig = Annotated[
    CharTokenizerConfig | ByteTokenizerConfig | WordTokenizerConfig, Field(discriminator="level")
]


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
    """Tokens between two cuts of the gradient; a longer document goes on in the next batch with its state."""


class StreamConfig(Section):
    """Many-to-many over all documents end to end: truncated backpropagation with carried state."""

    kind: Literal["stream"]
    steps: Positive
    """Tokens between two cuts of the gradient."""
    evaluation_rows: Positive
    """Parallel rows in evaluation; 1 carries one state through the whole text, more are faster and score worse."""


BatchingConfig = Annotated[WindowsConfig | DocumentsConfig | StreamConfig, Field(discriminator="kind")]
