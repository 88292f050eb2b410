"""Profiles of training steps: a trace of some steps, or a table of the time in Lightning's hooks."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import SimpleProfiler
from torch.profiler import ProfilerActivity, profile, schedule, supported_activities

from textloom.runs.run import Run

log = logging.getLogger(__name__)

STEPS_BEFORE = 5  # they allocate memory and choose kernels
STEPS_TO_WARM_UP = 1  # of the profiler
STEPS = 5


class Trace(pl.Callback):
    """``trace.json`` in the run directory, in Chrome's trace format, which Perfetto (ui.perfetto.dev) opens."""

    def __init__(self, run: Run):
        self.file = run.trace_file
        self.profile: profile | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the profiler, which skips the first steps."""
        wanted = {ProfilerActivity.CPU, ProfilerActivity.CUDA} & supported_activities()  # type: ignore[no-untyped-call]
        plan = schedule(wait=STEPS_BEFORE, warmup=STEPS_TO_WARM_UP, active=STEPS, repeat=1)
        self.profile = profile(activities=wanted, schedule=plan, on_trace_ready=self._write)
        self.profile.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the profiler that a step is over."""
        if self.profile is not None:
            self.profile.step()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the profiler; after a short training the trace is shorter, or missing."""
        if self.profile is not None:
            self.profile.stop()
            self.profile = None
        if not self.file.exists():
            log.warning("trainer.profiler=torch: no trace, it starts after %d steps", STEPS_BEFORE + STEPS_TO_WARM_UP)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Drop the profiler."""
        self.profile = None

    def _write(self, recorded: profile) -> None:
        recorded.export_chrome_trace(str(self.file))
        log.info("trace: %s; open it in https://ui.perfetto.dev", self.file)
        self.profile = None


class HookTable(SimpleProfiler):
    """``profile.txt`` in the run directory: seconds and calls of each of Lightning's hooks, over the whole training."""

    def __init__(self, file: Path):
        super().__init__()
        self.file = file

    def describe(self) -> None:
        """Write the file; called by Lightning at the end."""
        self.file.write_text(self.summary(), encoding="utf-8")
        log.info("seconds of each hook: %s", self.file)
