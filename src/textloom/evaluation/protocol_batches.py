"""The batches of an evaluation protocol: each scores every token of a split once, in a fixed order."""

from textloom.batching.batching import ALL_ROWS, Batching
from textloom.batching.documents import Documents
from textloom.batching.stream import Stream
from textloom.batching.windows import Windows, in_windows
from textloom.config import BatchingConfig
from textloom.data.encoding import TokenSplit
from textloom.evaluation.protocols import Protocol, training_protocol

EVALUATION_STEPS = 512  # longer than in training: state is carried, so the figures are the same, with fewer calls
EVALUATION_WINDOWS = 512


def protocol_batches(protocol: Protocol, split: TokenSplit, batch_size: int, share: slice = ALL_ROWS) -> Batching:
    """The batches that a model reads, or the share of one rank of each.

    ``batch_size`` documents or fresh windows lie side by side.
    """
    if protocol.kind == "stream":
        return Stream(split, min(protocol.size, split.targets), EVALUATION_STEPS, share)
    if protocol.kind == "sliding":
        return Windows(split, EVALUATION_WINDOWS, protocol.size, share=share)
    rows = in_windows(split, protocol.size) if protocol.kind == "windows" else split
    return Documents(rows, batch_size, EVALUATION_STEPS, share=share)


def validation_batches(config: BatchingConfig, split: TokenSplit, batch_size: int, share: slice = ALL_ROWS) -> Batching:
    """The batches that a training validates with."""
    return protocol_batches(training_protocol(config, split.windows is not None), split, batch_size, share)
