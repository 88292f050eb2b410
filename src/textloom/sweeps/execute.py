"""Train a trial. Its status and results are written into its directory, where the sweep reads them."""

import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from textloom.actions import failure_status, train_and_mark
from textloom.config import TrainConfig
from textloom.config.checking import check
from textloom.errors import Interrupted, Pruned, TextloomError
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run, Status
from textloom.sweeps.job import Job
from textloom.system.heavy_imports import heavy_imports

if TYPE_CHECKING:
    from pytorch_lightning import Callback

    from textloom.training.train import Trained

log = logging.getLogger(__name__)

GRACE = 30.0  # seconds from asking a trial to stop until it is killed
SECONDS_FOR_AN_ORPHAN_TO_END = 60.0  # after kill -9 of a sweep, its trials write a checkpoint before they end


def execute(job: Job, own_process: bool = False) -> None:
    """Train or resume a trial, and record its errors. Raises Interrupted if it was asked to stop.

    In a process of its own, a trial that ignores its time limit is killed.
    """
    directory = Path(job.directory)
    resume = (directory / "status.json").exists()
    with claimed_run(directory, resume, wait=SECONDS_FOR_AN_ORPHAN_TO_END) as run:
        limit = TimeLimit(job.timeout, own_process)
        try:
            train_and_mark(run, lambda: _train(job, run, limit), lambda error: _outcome(error, job, limit))
        except Pruned:
            pass
        except (Interrupted, KeyboardInterrupt, SystemExit):
            if not limit.reached:
                raise
        except TextloomError as error:
            log.error("%s", error)
        except Exception:  # other trials continue
            log.exception("the trial failed")
        finally:
            _free_memory()


def _train(job: Job, run: Run, limit: "TimeLimit") -> "Trained":
    with heavy_imports():
        from textloom.training.train import train  # imports torch and Lightning

    config, callbacks = check(job.config, TrainConfig), _callbacks(job)
    with limit:
        return train(config, run, job.overrides, callbacks)


def _outcome(error: BaseException, job: Job, limit: "TimeLimit") -> tuple[Status, str]:
    if isinstance(error, Pruned):
        return "pruned", str(error)
    status, message = failure_status(error)
    if status == "interrupted" and limit.reached:
        return "failed", f"took longer than sweep.trial_timeout={job.timeout:g} seconds"
    return status, message


def execute_in_child(job: Job) -> None:
    """Execute in a process of its own: its output goes to the trial's log, and it ends with its parent."""
    Path(job.directory).mkdir(parents=True, exist_ok=True)
    with _printing_into(job.log_file), _ending_with_the_parent():
        try:
            execute(job, own_process=True)
        except Interrupted as error:
            log.info("%s", error)


class TimeLimit:
    """Sends SIGTERM to this process when the time is over, so that a checkpoint is written.

    With ``end`` a process that ignores it is killed, after a traceback has been written to the log.
    """

    def __init__(self, seconds: float | None, end: bool):
        self.reached = False
        self._seconds = seconds
        self._end = end
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._timer = threading.Timer(self._seconds, self._stop)
            self._timer.daemon = True
            self._timer.start()
            if self._end:
                faulthandler.dump_traceback_later(self._seconds + GRACE, exit=True, file=sys.__stderr__ or sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            faulthandler.cancel_dump_traceback_later()

    def _stop(self) -> None:
        self.reached = True
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _printing_into(path: Path) -> Iterator[None]:
    """Redirect the standard output and error of this process, including those of libraries and crashes."""
    sys.stdout.flush(), sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    handler = logging.StreamHandler(open(2, "w", 1, "utf-8", "backslashreplace", closefd=False))  # noqa: SIM115  # of the descriptor
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        root.handlers = before
        os.dup2(saved[0], 1), os.dup2(saved[1], 2)
        os.close(saved[0])
        os.close(saved[1])


@contextmanager
def _ending_with_the_parent() -> Iterator[None]:
    """Stop if the process of the sweep has ended."""
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(1):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _callbacks(job: Job) -> list["Callback"]:
    if job.pruning is None:
        return []
    from textloom.sweeps.pruning import PruningCallback  # imports Lightning

    return [PruningCallback(job.pruning)]


def _free_memory() -> None:
    """Free the tensors of this trial, for the next one in this process."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    from textloom.sweeps.execute import execute_in_child as run_in_child  # not the copy in __main__

    run_in_child(Job.read(Path(sys.argv[1])))
