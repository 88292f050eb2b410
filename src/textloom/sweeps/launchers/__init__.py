"""Launchers: where trials run. A launcher takes jobs, and reports how each ended."""

import signal
from dataclasses import dataclass
from typing import Protocol

from textloom.sweeps.job import Job


@dataclass(frozen=True)
class JobEnd:
    """A job that has ended; the result of the trial is in its directory."""

    job: Job
    died: str | None = None
    """The reason why a process ended without writing a status; None if it ended normally."""
    lost: bool = False
    """True if the machine was lost, so that the trial can be resumed on another."""


class Launcher(Protocol):
    """Runs some jobs at a time."""

    places: int
    prints_here: bool
    """True if trials print to the terminal of this process."""

    def submit(self, job: Job) -> None:
        """Start a job; at least one place is free."""

    def wait(self, seconds: float) -> list[JobEnd]:
        """The jobs that ended since the last call; waits at most so many seconds for the first."""

    def close(self) -> None:
        """Stop all running jobs and wait for them; each may write a checkpoint first."""


def describe_exit(returncode: int) -> str | None:
    """An exit status in words; None for 0."""
    if returncode == 0:
        return None
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return f"killed by {name}" + (" (by hand, or for lack of memory)" if name == "SIGKILL" else "")
    return f"ended with exit status {returncode}"
