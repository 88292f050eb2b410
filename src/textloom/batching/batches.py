"""The batches to train on: windows, documents or a stream, as the config says."""

from textloom.batching.batching import Batching
from textloom.batching.documents import Documents
from textloom.batching.stream import Stream
from textloom.batching.windows import Windows
from textloom.config import BatchingConfig, DocumentsConfig, StreamConfig
from textloom.data.encoding import TokenSplit
from textloom.errors import DataError
from textloom.system.ranks import ALONE, Ranks


def training_batches(
    config: BatchingConfig, split: TokenSplit, batch_size: int, seed: int, ranks: Ranks = ALONE
) -> Batching:
    """The batches to train on, ``batch_size`` rows for each rank, which are its share of one large batch.

    Raises DataError if the text is too short for one batch.
    """
    rows = batch_size * ranks.size
    if isinstance(config, DocumentsConfig):
        _refuse_idle_ranks(split.documents, "documents", ranks)
        return Documents(split, rows, config.steps, seed, ranks.share)
    if isinstance(config, StreamConfig):
        if split.targets < rows:
            raise DataError(
                f"the training split has {split.targets} tokens, too few for {rows} rows; "
                "lower trainer.batch_size or give more text"
            )
        return Stream(split, rows, config.steps, ranks.share, seed if config.random_steps else None)
    batching = Windows(
        split,
        rows,
        config.context,
        config.stride,
        shortest_context=config.shortest_context,
        shuffle_seed=seed,
        share=ranks.share,
        last_only=config.targets == "last",
    )
    if not len(batching):
        raise DataError(
            f"no document of the training split has the {config.shortest_context + 1} tokens of one window; "
            "lower batching.shortest_context and batching.context, or give more text"
        )
    _refuse_idle_ranks(batching.windows, "windows", ranks)
    return batching


def _refuse_idle_ranks(rows: int, what: str, ranks: Ranks) -> None:
    if rows < ranks.size:
        raise DataError(
            f"the training split has {rows} {what}, too few for {ranks.size} devices; "
            "lower trainer.devices or give more text"
        )
