"""The LightningDataModule: the tokens of one run as batches.

It is in this package, not in ``batching``, because it asks Lightning's private parts for the device and the position in
the epoch.
"""

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl

from textloom.batching.batch import Batch, tokens_on
from textloom.batching.batches import training_batches
from textloom.batching.batching import Batching
from textloom.config import BatchingConfig
from textloom.data.documents import SplitName
from textloom.data.encoding import TokenSplit
from textloom.evaluation.protocol_batches import validation_batches
from textloom.system.ranks import ALONE, Ranks
from textloom.training.lightning_internals import batches_done, training_device

RELEASED_EVERY = 1000  # batches


class Loader:
    """One epoch of batches, or the rest of one: an iterable with the length of the whole epoch."""

    def __init__(self, batching: Batching, epoch: int = 0, start: int = 0):
        self.batching = batching
        self.epoch = epoch
        self.start = start

    def __len__(self) -> int:
        return self.batching.batches_in(self.epoch)

    def __iter__(self) -> Iterator[Batch]:
        for index, batch in enumerate(self.batching.batches(self.epoch, self.start), start=1):
            yield batch
            if index % RELEASED_EVERY == 0:
                self.batching.split.release()  # memory-mapped tokens would stay resident


class TokenDataModule(pl.LightningDataModule):
    """Batches of the training and the validation split."""

    def __init__(
        self,
        splits: dict[SplitName, TokenSplit],
        config: BatchingConfig,
        batch_size: int,
        seed: int,
        ranks: Ranks = ALONE,
    ):
        super().__init__()
        self.resume_at: tuple[int, int] | None = None  # epoch, number of its batches that are done
        self.training = training_batches(config, splits["train"], batch_size, seed, ranks)
        self.validation = validation_batches(config, splits["val"], batch_size, ranks.share)

    def setup(self, stage: str) -> None:
        """Copy the tokens to the device once, if they fit."""
        assert self.trainer is not None
        for batching in (self.training, self.validation):
            batching.tokens = tokens_on(training_device(self.trainer), batching.split.tokens)

    def train_dataloader(self) -> Loader:
        """The batches of the current epoch; called in each epoch (``reload_dataloaders_every_n_epochs=1``)."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        start = self.resume_at[1] if self.resume_at is not None and self.resume_at[0] == epoch else 0
        return Loader(self.training, epoch, start)

    def val_dataloader(self) -> Loader:
        """The batches that cover every token of the validation split."""
        return Loader(self.validation)

    def state_dict(self) -> dict[str, Any]:
        """The position in the data; Lightning restores it before it asks for a loader."""
        assert self.trainer is not None
        return {"epoch": self.trainer.current_epoch, "batches": batches_done(self.trainer)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position."""
        self.resume_at = (state_dict["epoch"], state_dict["batches"])
