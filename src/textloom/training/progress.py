"""A progress bar with loss, targets per second and the time left, redrawn five times a second at most."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm, convert_inf

from textloom.training.meter import Meter

SECONDS_BETWEEN_REDRAWS = 0.2


class TrainingProgressBar(TQDMProgressBar):
    """Lightning's bar, one line an epoch, that costs nothing between two redraws."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(leave=False)
        self.meter = meter
        self._drawn = 0.0

    def on_train_start(self, *arguments: Any) -> None:
        """An epoch that is gone on with has no start of its own that would set its total."""
        super().on_train_start(*arguments)
        self.train_progress_bar.reset(convert_inf(self.total_train_batches))

    def init_validation_tqdm(self) -> Tqdm:
        """No bar of its own for validation."""
        return Tqdm(disable=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw, if the last time is long enough ago."""
        now = time.perf_counter()
        if now - self._drawn >= SECONDS_BETWEEN_REDRAWS:
            self._drawn = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """To redraw."""
        return time.perf_counter() - self._drawn >= SECONDS_BETWEEN_REDRAWS

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar."""
        reading = self.meter.last
        if reading is None:
            return {}
        return {"train/loss": f"{reading.loss:.3f}", "targets/s": f"{reading.targets_per_second:,.0f}"}


def someone_is_watching() -> bool:
    """Whether stderr is a terminal: a bar in a log file would be thousands of lines."""
    return sys.stderr.isatty()
