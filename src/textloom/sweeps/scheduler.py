"""The scheduler of a sweep: asks for trials, starts them, and passes on their results, without waiting for batches."""

import time
from collections.abc import Callable
from typing import Protocol

from textloom.errors import Interrupted, RunError
from textloom.runs.run import Run
from textloom.sweeps.job import Job
from textloom.sweeps.launchers import JobEnd, Launcher
from textloom.sweeps.table import TrialTable
from textloom.sweeps.trials import COMPOSED, Trial
from textloom.system.files import read_json, write_json
from textloom.training.signals import StopRequest

SECONDS_BETWEEN_LOOKS = 1.0
TAIL = 4000  # bytes at the end of a log in which its last lines are looked for
LAST_LINES = 3
LONGEST_ERROR = 300


class Proposals(Protocol):
    """A source of trials."""

    def ask(self) -> Trial | None:
        """The next trial to train; None if there are no more."""

    def tell(self, trial: Trial) -> None:
        """Receive the result of a trial that ``ask`` returned."""

    def job(self, trial: Trial) -> Job:
        """The job of a trial, for a launcher."""


class Grid:
    """All combinations, in the order of the values on the command line; finished trials are not trained again."""

    def __init__(self, trials: list[Trial], job: Callable[[Trial], Job]):
        self._waiting = [trial for trial in trials if trial.state not in ("completed", "pruned")]
        self.job = job

    def ask(self) -> Trial | None:
        """The next trial to train; None if there are no more."""
        return self._waiting.pop(0) if self._waiting else None

    def tell(self, trial: Trial) -> None:
        """Nothing: later trials do not depend on results."""


class TrialScheduler:
    """Keeps every place of a launcher busy until there are no more trials."""

    def __init__(self, proposals: Proposals, launcher: Launcher, table: TrialTable, retries: int):
        self.proposals = proposals
        self.launcher = launcher
        self.table = table
        self.retries = retries
        self.running: dict[str, Trial] = {}

    def run(self) -> None:
        """Train all trials. Raises Interrupted if this process was asked to stop, after it has stopped the trials."""
        with StopRequest() as request:
            request.training = True  # only record the signal: the loop checks for it
            try:
                while request.received is None:
                    self._fill(request)
                    if not self.running:
                        return
                    for ending in self.launcher.wait(SECONDS_BETWEEN_LOOKS):
                        self._settle(ending)
            finally:
                self.launcher.close()
                for trial in self.running.values():
                    trial.read(self.table.metrics)
                self.table.changed()
            raise Interrupted(f"stopped by {request.received.name}")

    def _fill(self, request: StopRequest) -> None:
        while len(self.running) < self.launcher.places and request.received is None:
            trial = self.proposals.ask()
            if trial is None:
                return
            trial.state, trial.started, trial.seconds, trial.error = "running", time.monotonic(), None, None
            trial.wall = None
            self._submit(trial)
            request.listen()  # training in this process replaces the signal handlers

    def _submit(self, trial: Trial) -> None:
        job = self.proposals.job(trial)
        trial.directory.mkdir(parents=True, exist_ok=True)
        write_json(trial.directory / COMPOSED, {"config": job.config})
        self.running[job.directory] = trial
        self.table.changed(trial)
        self.launcher.submit(job)

    def _settle(self, ending: JobEnd) -> None:
        trial = self.running.pop(ending.job.directory)
        if ending.lost and trial.restarts < self.retries:
            trial.restarts += 1
            self._submit(trial)
            return
        trial.wall = time.monotonic() - (trial.started or time.monotonic())
        _mark_dead(trial, ending)
        trial.read(self.table.metrics)
        self.proposals.tell(trial)
        self.table.changed(trial)


def _mark_dead(trial: Trial, ending: JobEnd) -> None:
    """Mark a trial whose process ended without a mark as failed, with the last lines of its log."""
    run = Run(trial.directory)
    try:  # the file itself: status() calls a run whose process is gone interrupted
        status = read_json(run.status_file).get("status") if run.status_file.exists() else None
    except RunError:
        return  # a damaged file is reported when it is read
    if status in (None, "running"):
        tail = last_lines(trial)
        how = ending.died or "ended without a result"
        run.mark("failed", f"{how}; {tail}" if tail else how)


def last_lines(trial: Trial) -> str:
    """The last lines of a trial's log, as one line."""
    try:
        with trial.log_file.open("rb") as file:
            file.seek(max(0, trial.log_file.stat().st_size - TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-LAST_LINES:])[-LONGEST_ERROR:]
