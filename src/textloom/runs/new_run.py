"""The directory of a new run: nothing is left of it if the run fails before its first optimizer step."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from textloom.errors import Interrupted
from textloom.runs.run import Run, is_locked

_missing_before: set[Path] = set()


class NoteDirectory(Callback):
    """Notes which folders are there before Hydra makes the run directory."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra, before ``${hydra:...}`` in our configs can be resolved."""
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)
        try:
            directory = Path(str(config.hydra.run.dir)).absolute()
        except OmegaConfBaseException:
            return  # Hydra would warn of it, and fails with the same error next
        finally:
            HydraConfig.instance().cfg = before
        _missing_before.clear()
        _missing_before.update(path for path in (directory, *directory.parents) if not path.exists())


@contextmanager
def nothing_left_of_failures(directory: Path) -> Iterator[None]:
    """If what is done here fails before the first step, remove the files and folders that this process has made.

    Interrupted leaves the run, which can be resumed.
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
                if folder in _missing_before or folder.parent == run.directory:
                    with suppress(OSError):  # not there, or holds what is not ours
                        folder.rmdir()
        raise


def _has_trained(run: Run) -> bool:
    """Also true for a run that another process has claimed in the meantime."""
    return is_locked(run.lock_file) or (run.status_file.exists() and run.has_trained)


def _close_logs(run: Run) -> None:
    root = logging.getLogger()
    for handler in [*root.handlers]:
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == run.log_file:
            root.removeHandler(handler)
            handler.close()
