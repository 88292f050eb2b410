"""Documents between source and tokens: the pieces in which they are read, and the splits to which they belong."""

from typing import Literal

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Piece = tuple[str, bool]
"""A text, and True if its document ends there: most documents are one piece, long ones are several."""

BLOCK = 1 << 22  # bytes read at once
