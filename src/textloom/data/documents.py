"""Documents on their way from a source to tokens: the pieces that they come in, and the splits that they belong to."""

from typing import Literal

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

Piece = tuple[str, bool]
"""A text, and True if its document ends there: most documents are one piece, long ones are several."""

BLOCK = 1 << 22  # bytes read at once
