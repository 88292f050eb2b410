"""The LightningDataModule: the tokens of one run as batches."""

from collections.abc import Iterator

import pytorch_lightning as pl

from textloom.config import BatchingConfig
from textloom.data.batches import Batch, Batching
from textloom.data.batching import evaluation_batches, training_batches
from textloom.data.corpus import SplitName
from textloom.data.encoding import TokenSplit


class Loader:
    """One epoch of batches, as Lightning wants it: a length and an iterator."""

    def __init__(self, batching: Batching, epoch: int = 0):
        self.batching = batching
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.batching)

    def __iter__(self) -> Iterator[Batch]:
        return self.batching.batches(self.epoch)


class TokenDataModule(pl.LightningDataModule):
    """Batches of the training and the validation part."""

    def __init__(self, splits: dict[SplitName, TokenSplit], config: BatchingConfig, batch_size: int, seed: int):
        super().__init__()
        self.training = training_batches(config, splits["train"], batch_size, seed)
        self.validation = evaluation_batches(config, splits["val"], batch_size)

    def train_dataloader(self) -> Loader:
        """The batches of the current epoch; asked for anew each epoch (``reload_dataloaders_every_n_epochs=1``)."""
        return Loader(self.training, self.trainer.current_epoch if self.trainer else 0)

    def val_dataloader(self) -> Loader:
        """Every token of the validation part."""
        return Loader(self.validation)
