"""The directory of a new run, which is removed again if the run fails before its first optimizer step."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from textloom.config.compose import hydra_values
from textloom.errors import Interrupted
from textloom.runs.run import Run
from textloom.system.files import is_locked


def missing_folders(directory: Path) -> frozenset[Path]:
    """Those of the directory and its parents that do not exist yet."""
    directory = directory.absolute()
    return frozenset(path for path in (directory, *directory.parents) if not path.exists())


class NoteDirectory(Callback):
    """Notes which folders are missing before Hydra makes the run directory."""

    missing: ClassVar[frozenset[Path]] = frozenset()
    """The missing folders of the job that Hydra runs now."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before ``${hydra:...}`` in our configs can be resolved."""
        try:
            with hydra_values(config):
                directory = Path(str(config.hydra.run.dir))
        except OmegaConfBaseException:
            return  # Hydra would log a warning, and raises the same error next
        NoteDirectory.missing = missing_folders(directory)


@contextmanager
def remove_if_untrained(directory: Path, missing: Collection[Path]) -> Iterator[None]:
    """Remove the files that were written here, and the folders that were missing, if the first step is not reached.

    A run that was interrupted stays, as it can be resumed.
    """
    run = Run(directory.absolute())
    before = set(run.files())
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Interrupted) and not _has_trained(run):
            _close_logs(run)
            for path in set(run.files()) - before:
                path.unlink()
            for folder in (run.checkpoints, run.tokens, run.directory, *run.directory.parents):
                if folder in missing or folder.parent == run.directory:
                    with suppress(OSError):  # it does not exist, or holds other files
                        folder.rmdir()
        raise


def _has_trained(run: Run) -> bool:
    """True from the first step on, and for a run that another process has claimed meanwhile."""
    return is_locked(run.lock_file) or (run.status_file.exists() and run.has_trained)


def _close_logs(run: Run) -> None:
    root = logging.getLogger()
    for handler in [*root.handlers]:
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == run.log_file:
            root.removeHandler(handler)
            handler.close()
