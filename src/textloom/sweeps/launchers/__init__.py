"""Where trials run. All that a launcher knows of a trial is its job, and all that it tells is how the job ended."""

import signal
from dataclasses import dataclass
from typing import Protocol

from textloom.sweeps.job import Job


@dataclass(frozen=True)
class Ending:
    """A job that is over. What became of the trial stands in its directory."""

    job: Job
    died: str | None = None
    """What ended its process before it could write that down."""
    lost: bool = False
    """Whether it died because its machine is gone: another can go on with it."""


class Launcher(Protocol):
    """A place for some jobs at a time."""

    places: int
    in_sight: bool
    """Whether trials print to this process's terminal."""

    def submit(self, job: Job) -> None:
        """Start a job; there is a free place."""

    def wait(self, seconds: float) -> list[Ending]:
        """The jobs that ended since the last call; waits this long for the first one."""

    def close(self) -> None:
        """End all jobs that run, and wait until they are gone: each may write a checkpoint first."""


def said_by(returncode: int) -> str | None:
    """What a process's exit status means; None for an orderly end."""
    if returncode == 0:
        return None
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return f"killed by {name}" + (" (by hand, or for want of memory)" if name == "SIGKILL" else "")
    return f"ended with exit status {returncode}"
