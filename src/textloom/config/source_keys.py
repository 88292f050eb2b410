"""Keys that data sources share: how documents are split, and how the rows of tables become documents."""

import math
import string
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from textloom.config.section import Fraction, Paths, Prose, Section, as_tuple, lower

Form = Literal["nfc", "nfd", "nfkc", "nfkd"]


class SplitKeys(Section):
    """Normalization of documents, and their split into training, validation and test."""

    normalization: Annotated[Form, BeforeValidator(lower)] | None = None
    """Unicode normalization form to which all text is converted; null leaves characters as they are."""

    validation_fraction: Fraction
    """Share of the documents (of the characters, if there is one document) for validation."""
    test_fraction: Fraction
    """Share for the test, which is scored once, at the end; 0 for no test split."""
    split_seed: int
    """Seed of the assignment of documents to splits; runs with the same data and split_seed are comparable."""
    fold_duplicates: bool
    """Keep only one of the documents that differ merely in case, punctuation or white space."""
    near_duplicates: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Jaccard similarity of word 5-grams from which on documents stay in one split; null: no search."""
    kind: str
    """Kind of the data source."""

    @property
    def piped(self) -> bool:
        """True if some of the text comes through standard input."""
        return False

    @property
    def has_test_split(self) -> bool:
        """True if there is a test split."""
        return self.test_fraction > 0

    @property
    def by_share(self) -> bool:
        """True if the splits are shares of one whole."""
        return not self.leaky

    @property
    def split_protocol(self) -> str | None:
        """The published way to split (see ``textloom.data.protocols``); None for shares or given splits."""
        return None

    @property
    def dealt_window(self) -> int | None:
        """Tokens of context in the windows that a leaky protocol deals out; None for splits by document."""
        return None

    @property
    def leaky(self) -> bool:
        """True if validation text is also training text."""
        return self.dealt_window is not None

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if not self.validation_fraction > 0:
            raise ValueError("validation_fraction=0 leaves nothing to validate on; give it a share such as 0.1")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on; lower one of them")
        return self


class GivenSplits(SplitKeys):
    """Data that may bring its own validation and test splits."""

    @property
    def given(self) -> tuple[bool, bool]:
        """Whether a validation split and whether a test split is given."""
        raise NotImplementedError

    @property
    def has_test_split(self) -> bool:
        """True if one is given, or is a share; a share only if validation is a share too."""
        validation, test = self.given
        return test or (not validation and super().has_test_split)

    @property
    def by_share(self) -> bool:
        """True if the splits are shares of one whole."""
        return not any(self.given)


class GivenFiles(GivenSplits):
    """Files for training, and perhaps others for validation and test."""

    path: Paths
    """A file or a glob such as 'books/*.txt', or a list of them; - is standard input."""
    validation_path: Paths | None = None
    """Files for validation, used as they are, without folding; path is then training text. Null: a share of path."""
    test_path: Paths | None = None
    """Files for the test, used as they are; null for a share of path, or for none if validation_path is given."""

    @property
    def given(self) -> tuple[bool, bool]:
        """Whether files for validation and whether files for the test are given."""
        return self.validation_path is not None, self.test_path is not None

    @property
    def piped(self) -> bool:
        """True if some of the text comes through standard input."""
        return any("-" in (paths or ()) for paths in (self.path, self.validation_path, self.test_path))


class Bounds(Section):
    """Inclusive bounds."""

    min: int | float | str | None = None
    """Null for no lower bound."""
    max: int | float | str | None = None
    """Null for no upper bound."""


Value = bool | int | float | str


def checked_filters(filters: Any) -> Any:
    """The filters, checked. Raises ValueError for columns and values that no table can hold, such as null."""
    if not isinstance(filters, dict):
        return filters
    checked = {}
    for column, wanted in filters.items():
        if isinstance(column, bool | float) or column is None:
            read = "null" if column is None else str(column).lower()
            raise ValueError(f"{read}: a column's name that YAML reads as {read}; put the name in quotes")
        values = wanted.values() if isinstance(wanted, dict) else wanted if isinstance(wanted, list) else (wanted,)
        for value in values:
            if value is None and not isinstance(wanted, dict):
                raise ValueError(
                    f"{column}=null: no value; put 'null' in quotes if it is a text, or leave the column out"
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{column}={value}: not a number to compare with; put it in quotes if it is a text")
            if isinstance(value, bool) and isinstance(wanted, dict):
                raise ValueError(f"{column}: true and false are not bounds; put no, yes, on and off in quotes")
            if isinstance(value, dict | list):
                raise ValueError(f"{column}={value}: must be a value, a list of values, or {{min: A, max: B}}")
        checked[str(column)] = wanted
    return checked


Filter = Value | Annotated[tuple[Value, ...], BeforeValidator(as_tuple)] | Bounds


class RowKeys(GivenSplits):
    """The mapping of rows to documents."""

    text_column: str
    """The column that holds the text."""
    template: Prose | None = None
    """The text of a document from several columns, such as '{title}. {abstract}'; null for text_column alone."""
    filters: Annotated[dict[str, Filter], BeforeValidator(checked_filters)] | None = None
    """Rows to keep: for each of some columns a value, a list of values, or {min: A, max: B}; numbers, or plain text."""
    split_by: str | None = None
    """A column with the split of a row (train, validation, test), or with dates or numbers: the earliest rows are for
    training, later ones for validation, the last for the test, equal values together; null for random shares."""

    @model_validator(mode="after")
    def _template_names_columns(self) -> Self:
        if self.template is not None:
            try:
                parsed = list(string.Formatter().parse(self.template))
            except ValueError as error:
                raise ValueError(f"template={self.template}: {error}; write it as '{{title}}. {{abstract}}'") from error
            if not any(name for _, name, _, _ in parsed) or any(
                name == "" or spec or conversion for _, name, spec, conversion in parsed
            ):
                raise ValueError(
                    f"template={self.template}: needs columns in braces, such as '{{title}}. {{abstract}}'"
                )
        return self

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Self:
        if self.split_by is not None and (any(self.given) or self.near_duplicates is not None):
            raise ValueError("split_by is a split of its own; leave out near_duplicates and given splits, or split_by")
        return self
