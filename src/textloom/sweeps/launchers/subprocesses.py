"""A process for each trial: a crash ends only that trial, and each has its own GPU memory and ranks."""

import contextlib
import os
import signal
import subprocess
import sys
import time

from textloom.sweeps.execute import GRACE
from textloom.sweeps.job import Job
from textloom.sweeps.launchers import JobEnd, describe_exit
from textloom.sweeps.resources import Share

POLL = 0.1  # seconds


class SubprocessLauncher:
    """``python -m textloom.sweeps.execute JOB`` in a process group of its own, with its share of cores and GPUs."""

    prints_here = False

    def __init__(self, shares: list[Share]):
        self.places = len(shares)
        self._free = list(reversed(shares))
        self._running: dict[subprocess.Popen[bytes], tuple[Job, Share]] = {}

    def submit(self, job: Job) -> None:
        """Start a process."""
        share = self._free.pop()
        command = [sys.executable, "-m", "textloom.sweeps.execute", str(job.write())]
        with job.log_file.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **share.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its children end with it, and Ctrl-C reaches it through close() alone
            )
        self._running[process] = (job, share)

    def wait(self, seconds: float) -> list[JobEnd]:
        """The jobs whose process has ended."""
        until = time.monotonic() + seconds
        while True:
            gone = [process for process in self._running if process.poll() is not None]
            if gone or time.monotonic() >= until:
                return [self._ending(process) for process in gone]
            time.sleep(POLL)

    def close(self) -> None:
        """Terminate every process group, then kill it."""
        for process in self._running:
            _signal_group(process, signal.SIGTERM)
        until = time.monotonic() + GRACE
        try:
            while any(process.poll() is None for process in self._running) and time.monotonic() < until:
                time.sleep(POLL)
        finally:  # reached at once after a second Ctrl-C
            for process in self._running:
                _signal_group(process, signal.SIGKILL)
                process.wait()
            self._running.clear()

    def _ending(self, process: subprocess.Popen[bytes]) -> JobEnd:
        job, share = self._running.pop(process)
        _signal_group(process, signal.SIGKILL)  # processes that it may have started
        self._free.append(share)
        return JobEnd(job, describe_exit(process.returncode))


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
