"""The well-known splits of tiny-shakespeare, each of one file: their losses do not compare with each other.

Karpathy's nanoGPT (``data/shakespeare_char/prepare.py``) and char-rnn (``util/CharSplitLMMinibatchLoader.lua``), and
Johnson's torch-rnn (``scripts/preprocess.py``).
"""

from typing import Literal

from textloom.data.spool import SplitName

Protocol = Literal["nanogpt", "char_rnn", "torch_rnn"]
Ranges = dict[SplitName, list[tuple[int, int]]]

ROWS, STEPS, TRAINING_SHARE = 50, 50, 0.95  # char-rnn's defaults


def character_ranges(protocol: Protocol, characters: int) -> Ranges:
    """Which characters of the file make each part, as half-open ranges."""
    if protocol == "nanogpt":
        border = int(0.9 * characters)
        return {"train": [(0, border)], "val": [(border, characters)]}
    if protocol == "torch_rnn":
        validation = test = int(0.1 * characters)
        first, second = characters - validation - test, characters - test
        return {"train": [(0, first)], "val": [(first, second)], "test": [(second, characters)]}
    batches = characters // (ROWS * STEPS)  # what is left over goes unused
    row, border = batches * STEPS, int(TRAINING_SHARE * batches) * STEPS
    starts = range(0, ROWS * row, row)
    return {
        "train": [(start, start + border) for start in starts],
        "val": [(start + border, start + row) for start in starts],
    }
