"""Worker processes that train one trial after the other: each imports torch and Lightning only once."""

import os
import re
import signal
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for

from loky import ProcessPoolExecutor
from loky.process_executor import TerminatedWorkerError

from textloom.sweeps.execute import GRACE, execute_in_child
from textloom.sweeps.job import Job
from textloom.sweeps.launchers import JobEnd, describe_exit
from textloom.sweeps.resources import Share


class WorkersLauncher:
    """A pool of one worker for each place, because loky gives up a whole pool if one worker dies."""

    prints_here = False

    def __init__(self, shares: list[Share]):
        self.places = len(shares)
        self._free = list(reversed(shares))
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._running: dict[Future[None], tuple[Job, Share]] = {}

    def submit(self, job: Job) -> None:
        """Run the job in the worker of a free place; a worker that died is replaced."""
        share = self._free.pop()
        pool = self._pools.get(id(share))
        if pool is None:
            pool = ProcessPoolExecutor(max_workers=1, env=share.environment)
            self._pools[id(share)] = pool
        self._running[pool.submit(execute_in_child, job)] = (job, share)

    def wait(self, seconds: float) -> list[JobEnd]:
        """The jobs that ended, or whose worker died."""
        if not self._running:
            return []
        done, _ = wait_for(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        return [self._ending(future) for future in done]

    def close(self) -> None:
        """Terminate every worker, then kill it."""
        for process in self._processes():
            os.kill(process, signal.SIGTERM)
        try:
            if self._running:
                wait_for(self._running, timeout=GRACE)
        finally:
            for pool in self._pools.values():
                pool.shutdown(wait=True, kill_workers=True)
            self._pools.clear()
            self._running.clear()

    def _ending(self, future: "Future[None]") -> JobEnd:
        job, share = self._running.pop(future)
        self._free.append(share)
        error = future.exception()
        if error is None:
            return JobEnd(job)
        if isinstance(error, TerminatedWorkerError):
            self._pools.pop(id(share)).shutdown(wait=True, kill_workers=True)
            return JobEnd(job, _death(error))
        return JobEnd(job, f"{type(error).__name__}: {error}")

    def _processes(self) -> list[int]:
        running = {id(share) for _, share in self._running.values()}
        return [pid for place, pool in self._pools.items() if place in running for pid in list(pool._processes)]


def _death(error: Exception) -> str:
    """The signal or exit status that ended the worker, from loky's message."""
    code = re.search(r"\{(?:SIG\w+|EXIT)\((-?\d+)\)", str(error))
    return (code and describe_exit(int(code[1]))) or "its worker died"
