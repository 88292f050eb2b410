"""Writing checkpoints: the best by validation loss, and the last."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from textloom.runs import Run


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: a crash leaves the old checkpoint or the new one, never a part."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write, flush to the disk, rename."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def checkpoint_callbacks(run: Run) -> list[ModelCheckpoint]:
    """``best.ckpt`` and ``last.ckpt``, written after each validation."""
    shared: dict[str, Any] = {
        "dirpath": run.checkpoints,
        "enable_version_counter": False,
        "save_on_train_epoch_end": False,
    }
    return [
        ModelCheckpoint(filename="best", monitor="val/loss", mode="min", **shared),
        ModelCheckpoint(filename="last", **shared),
    ]
