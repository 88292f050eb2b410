"""Which batches a config asks for, in training and in evaluation."""

from textloom.config import BatchingConfig, DocumentsConfig, StreamConfig
from textloom.data.batches import Batching
from textloom.data.documents import Documents
from textloom.data.encoding import TokenSplit
from textloom.data.stream import Stream
from textloom.data.windows import Windows
from textloom.errors import DataError

EVALUATION_STEPS = 512  # longer than in training: state is carried, so the figures are the same, with fewer calls
EVALUATION_WINDOWS = 512


def training_batches(config: BatchingConfig, split: TokenSplit, batch_size: int, seed: int) -> Batching:
    """The batches to train on. Raises DataError where the text is too short for one."""
    batching: Batching
    if isinstance(config, DocumentsConfig):
        return Documents(split, batch_size, config.steps, shuffle_seed=seed)
    if isinstance(config, StreamConfig):
        if split.targets < batch_size:
            raise DataError(
                f"the training part has {split.targets} tokens, too few for {batch_size} rows; "
                "lower trainer.batch_size or give more text"
            )
        return Stream(split, batch_size, config.steps)
    batching = Windows(split, batch_size, config.context, config.stride, config.shortest_context, shuffle_seed=seed)
    if not len(batching):
        raise DataError(
            f"no document of the training part has the {config.shortest_context + 1} tokens of one window; "
            "lower batching.shortest_context and batching.context, or give more text"
        )
    return batching


def evaluation_batches(config: BatchingConfig, split: TokenSplit, batch_size: int) -> Batching:
    """The batches that score every token of a part once, in a fixed order."""
    if isinstance(config, DocumentsConfig):
        return Documents(split, batch_size, EVALUATION_STEPS)
    if isinstance(config, StreamConfig):
        return Stream(split, min(config.evaluation_rows, split.targets), EVALUATION_STEPS)
    return Windows(split, EVALUATION_WINDOWS, config.context)
