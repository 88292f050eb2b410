"""The small text about deep learning that comes with textloom."""

import importlib.resources
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from textloom.config.data import SOURCES
from textloom.config.source_keys import SplitKeys
from textloom.data.documents import Piece, SplitName
from textloom.data.sources.base import Source

if TYPE_CHECKING:
    from textloom.data.normalization import Normalizer
    from textloom.data.notes import Notes


class ToyConfig(SplitKeys):
    """The small text about deep learning that comes with textloom."""

    kind: Literal["toy"]


@SOURCES.register(ToyConfig)
class Toy(Source[ToyConfig]):
    """The text as one document."""

    def read(self, normalizer: "Normalizer", notes: "Notes") -> Mapping[SplitName, Iterable[Piece]]:
        """The text, to be split."""
        return {"train": [(toy_text(), True)]}

    def identity(self) -> list[str]:
        """The text itself."""
        return [toy_text()]


def toy_text() -> str:
    """The text."""
    return importlib.resources.files("textloom.data").joinpath("toy.txt").read_text(encoding="utf-8")
