"""The states of all random number generators in checkpoints; Lightning saves none of them."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from textloom.system.ranks import Ranks
from textloom.training.lightning_internals import training_device


class RandomState(pl.Callback):
    """Saves and restores the generators, so that a resumed run draws the numbers of an uninterrupted one."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.on_gpu = False
        self.restored: dict[str, Any] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note whether a GPU is used: asking for its generator would initialize CUDA in a training on the CPU too."""
        self.on_gpu = training_device(trainer).type == "cuda"

    def state_dict(self) -> dict[str, Any]:
        """The states of the generators of rank 0, and those of the other ranks."""
        mine, *others = self.ranks.gather(_state(self.on_gpu))
        return {**mine, "other_ranks": others}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the training starts, because setting it up draws numbers too."""
        self.restored = [state_dict, *state_dict.get("other_ranks", ())][self.ranks.rank]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the generators; in a new training give each rank a seed of its own."""
        if self.restored is None:
            if self.ranks.rank > 0:
                torch.manual_seed(torch.initial_seed() + self.ranks.rank)
            return
        version, keys, gauss = self.restored["python"]
        random.setstate((version, tuple(keys), gauss))
        kind, numpy_keys, *rest = self.restored["numpy"]
        np.random.set_state((kind, np.array(numpy_keys, dtype=np.uint32), *rest))
        torch.set_rng_state(self.restored["torch"].cpu())
        if self.on_gpu and self.restored["cuda"] is not None:
            torch.cuda.set_rng_state(self.restored["cuda"].cpu())


def _state(on_gpu: bool) -> dict[str, Any]:
    """The states of the generators of Python, NumPy, torch and the current GPU, in plain types."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, [int(key) for key in keys], position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if on_gpu else None,
    }
