"""Published ways to split, the choices of ``data.protocol``. Their figures compare only with the published ones.

Those of tiny-shakespeare cut one file: Karpathy's nanoGPT (``data/shakespeare_char/prepare.py``) and char-rnn
(``util/CharSplitLMMinibatchLoader.lua``), and Johnson's torch-rnn (``scripts/preprocess.py``). Others deal out windows
of all documents at random.
"""

import importlib
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np

from textloom.data.documents import SplitName

Ranges = dict[SplitName, list[tuple[int, int]]]

ROWS, STEPS, TRAINING_SHARE = 50, 50, 0.95  # char-rnn's defaults


def nanogpt(characters: int) -> Ranges:
    """The last tenth is for validation."""
    border = int(0.9 * characters)
    return {"train": [(0, border)], "val": [(border, characters)]}


def torch_rnn(characters: int) -> Ranges:
    """Eight tenths for training, one for validation, one for test."""
    validation = test = int(0.1 * characters)
    first, second = characters - validation - test, characters - test
    return {"train": [(0, first)], "val": [(first, second)], "test": [(second, characters)]}


def char_rnn(characters: int) -> Ranges:
    """The text in 50 rows, whose ends are for validation; the remainder is unused."""
    batches = characters // (ROWS * STEPS)
    row, border = batches * STEPS, int(TRAINING_SHARE * batches) * STEPS
    starts = range(0, ROWS * row, row)
    return {
        "train": [(start, start + border) for start in starts],
        "val": [(start + border, start + row) for start in starts],
    }


CUTS: dict[str, Callable[[int], Ranges]] = {"nanogpt": nanogpt, "char_rnn": char_rnn, "torch_rnn": torch_rnn}
"""For the number of characters in a file, the characters of each split, as half-open ranges."""


class WindowProtocol(Protocol):
    """A protocol that splits windows instead of documents, so that validation text is also training text."""

    LEAKY: str
    """The warning beside all its figures."""

    def deal_windows(self, boundaries: np.ndarray, window: int) -> dict[SplitName, np.ndarray]:
        """The positions of the targets of each split, (windows,) int64, rising.

        ``boundaries``: (documents + 1,), with an end token after each document.
        """


WINDOWS = {"article": "textloom.reproductions.article"}
"""The modules of such protocols."""


def window_protocol(name: str) -> WindowProtocol:
    """The protocol of this name."""
    return cast(WindowProtocol, importlib.import_module(WINDOWS[name]))
