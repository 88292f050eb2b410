"""Trains one trial after the other in this process."""

import logging

from textloom.sweeps.execute import execute
from textloom.sweeps.job import Job
from textloom.sweeps.launchers import JobEnd
from textloom.system.progress import ConsoleHandler

SAID_ONCE = ("textloom.data", "textloom.system.devices", "textloom.training.preparation", "textloom.training.train")


class _NewOnes(logging.Filter):
    """Drops messages about data, tokenizer and machine that an earlier trial has logged already."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """True for warnings and for messages not seen before."""
        key = record.name, record.getMessage()
        repeated = key in self.said and record.levelno < logging.WARNING and record.name.startswith(SAID_ONCE)
        self.said.add(key)
        return not repeated


class SerialLauncher:
    """Trains inside ``submit``. A signal stops the trial and the sweep."""

    places = 1
    prints_here = True

    def __init__(self) -> None:
        self._ended: list[JobEnd] = []
        self._new_ones = _NewOnes()

    def submit(self, job: Job) -> None:
        """Train the trial, and return when it has ended."""
        handler = logging.FileHandler(job.log_file, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        console = ConsoleHandler()
        console.setFormatter(logging.Formatter("%(message)s"))
        console.addFilter(self._new_ones)
        root = logging.getLogger()
        before, root.handlers = root.handlers, [handler, console]
        root.setLevel(logging.INFO)
        try:
            execute(job)
        finally:
            root.handlers = before
            handler.close()
        self._ended.append(JobEnd(job))

    def wait(self, seconds: float) -> list[JobEnd]:
        """The jobs submitted since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Nothing: no job is running."""
