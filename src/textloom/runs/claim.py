"""Claiming a run directory: one process at a time trains a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from textloom.errors import RunError
from textloom.runs.run import Run
from textloom.system.files import is_utf8, write_bytes


@contextmanager
def claimed_run(directory: Path, resume: bool = False, wait: float = 0) -> Iterator[Run]:
    """Lock a directory for a new run, or for a run to resume, and mark the run as running.

    The lock is released when the context or the process ends. If another process holds it, wait up to ``wait`` seconds.

    Raises RunError if the directory is in use, already holds a run that has trained, or cannot be written, or if its
    path is not UTF-8.
    """
    if not is_utf8(os.path.abspath(directory)):  # TensorBoard's events would not be written
        raise RunError(f"{directory}: its path is not UTF-8; rename the folder, or give another as hydra.run.dir=DIR")
    run = Run(directory)
    lock = FileLock(run.lock_file)
    try:
        if resume:
            separate_copies(run)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise RunError(f"{directory}: another process is training this run; wait for it, or stop it") from error
    except OSError as error:
        cure = "copy the run to another place and resume the copy" if resume else "give another as hydra.run.dir=DIR"
        raise RunError(f"{directory}: cannot be written ({error.strerror}); {cure}") from error
    with lock:
        if not resume and run.status_file.exists():
            if run.has_trained:
                raise RunError(
                    f"{directory}: already holds a run; resume it with resume={directory}, "
                    "or give another directory as hydra.run.dir=DIR"
                )
            for path in set(run.files()) - {run.lock_file, run.log_file}:  # killed before its first step
                path.unlink()
        run.mark("running")
        yield run


def separate_copies(run: Run) -> None:
    """Replace hard links, as ``cp -al`` makes them, by writable copies of the files that training appends to.

    Tokens stay linked, since nothing writes to them; other files are replaced as a whole.
    """
    for path in (run.log_file, run.samples_file):
        if path.exists() and (path.stat().st_nlink > 1 or not os.access(path, os.W_OK)):
            write_bytes(path, path.read_bytes())
