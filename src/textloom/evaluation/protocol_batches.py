"""The batches of an evaluation protocol: each scores every token of a split once, in a fixed order."""

from textloom.batching.batches import EVALUATION_STEPS, EVALUATION_WINDOWS
from textloom.batching.batching import Batching
from textloom.batching.documents import Documents
from textloom.batching.stream import Stream
from textloom.batching.windows import Windows, in_windows
from textloom.data.encoding import TokenSplit
from textloom.evaluation.protocols import Protocol


def protocol_batches(protocol: Protocol, split: TokenSplit, batch_size: int) -> Batching:
    """The batches that a model reads; ``batch_size`` documents or fresh windows lie side by side."""
    if protocol.kind == "stream":
        return Stream(split, min(protocol.size, split.targets), EVALUATION_STEPS)
    if protocol.kind == "sliding":
        return Windows(split, EVALUATION_WINDOWS, protocol.size)
    return Documents(
        in_windows(split, protocol.size) if protocol.kind == "windows" else split, batch_size, EVALUATION_STEPS
    )
