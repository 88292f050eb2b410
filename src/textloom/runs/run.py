"""A run directory: where each file lies, its status, its results.

It holds all that is needed to evaluate and to generate, on any machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout

from textloom.config import TrainConfig
from textloom.config.composition import check
from textloom.errors import ConfigError, RunError
from textloom.system.files import is_utf8, read_checked_text, read_json, write_bytes, write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Status = Literal["running", "completed", "stopped", "interrupted", "failed", "pruned"]
CheckpointName = Literal["best", "last", "previous"]
OVER: tuple[Status, ...] = ("completed", "pruned")
HAVE_RESULTS: tuple[Status, ...] = ("completed", "stopped")
EXPORT_FORMAT = "textloom export 1"
RESUME_ORDER: tuple[CheckpointName, ...] = ("last", "previous", "best")  # newest first


@dataclass(frozen=True)
class Run:
    """The directory of one training, or what ``textloom export`` made of one, and the files in it."""

    directory: Path

    @property
    def config_file(self) -> Path:
        """The resolved config, YAML."""
        return self.directory / "config.yaml"

    @property
    def overrides_file(self) -> Path:
        """What the user typed to get that config, a YAML list."""
        return self.directory / "overrides.yaml"

    @property
    def status_file(self) -> Path:
        """Running, completed, stopped by a limit of time, interrupted, failed, or pruned by a sweep."""
        return self.directory / "status.json"

    @property
    def loggers_file(self) -> Path:
        """The ids of the run in the loggers beside TensorBoard."""
        return self.directory / "loggers.json"

    @property
    def provenance_file(self) -> Path:
        """Which code, versions, machine and data made the run."""
        return self.directory / "provenance.json"

    @property
    def results_file(self) -> Path:
        """The figures of the best checkpoint, flat, under the names that TensorBoard shows."""
        return self.directory / "results.json"

    @property
    def tokenizer_file(self) -> Path:
        """The vocabulary."""
        return self.directory / "tokenizer.json"

    @property
    def tokens(self) -> Path:
        """The folder of the encoded corpus."""
        return self.directory / "tokens"

    @property
    def samples_file(self) -> Path:
        """The texts generated at each validation."""
        return self.directory / "samples.txt"

    @property
    def trace_file(self) -> Path:
        """Some steps of the training, with ``trainer.profiler=torch``."""
        return self.directory / "trace.json"

    @property
    def profile_file(self) -> Path:
        """Where the time of the training went, with ``trainer.profiler=simple``."""
        return self.directory / "profile.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of ``best.ckpt``, ``last.ckpt`` and the one before it, ``previous.ckpt``."""
        return self.directory / "checkpoints"

    def checkpoint_file(self, name: CheckpointName) -> Path:
        """One of the checkpoints."""
        return self.checkpoints / f"{name}.ckpt"

    @property
    def export_file(self) -> Path:
        """In an export alone: the config, and the checksums of the weights and the vocabulary."""
        return self.directory / "config.json"

    @property
    def weights_file(self) -> Path:
        """In an export alone: the weights."""
        return self.directory / "model.safetensors"

    @property
    def is_export(self) -> bool:
        """Whether this is an export: weights alone, no checkpoints, no training part."""
        return not self.config_file.exists() and self.export_file.exists()

    def exported(self) -> dict[str, Any]:
        """What an export's ``config.json`` says. Raises RunError if it is damaged or not ours."""
        content = read_json(self.export_file)
        if content.get("format") != EXPORT_FORMAT:
            raise RunError(f"{self.export_file}: not an export of textloom; give a folder that textloom export wrote")
        return content

    @property
    def lock_file(self) -> Path:
        """Locked by the process that trains the run."""
        return self.directory / ".lock"

    @property
    def log_file(self) -> Path:
        """What training said."""
        return self.directory / "train.log"

    def curve_files(self) -> list[Path]:
        """What is written for TensorBoard."""
        return sorted(self.directory.glob("events.out.tfevents.*"))

    def files(self) -> list[Path]:
        """All files that training has written here."""
        fixed = (
            self.config_file, self.overrides_file, self.status_file, self.provenance_file, self.results_file,
            self.tokenizer_file, self.loggers_file, self.samples_file, self.trace_file, self.profile_file,
            self.log_file, self.lock_file,
        )  # fmt: skip
        checkpoints, tokens = self.checkpoints.glob("*.ckpt"), self.tokens.glob("*")
        return [*(path for path in fixed if path.exists()), *checkpoints, *tokens, *self.curve_files()]

    def forget_training(self) -> None:
        """Remove what a training without a checkpoint left behind, so that another can begin."""
        for path in [self.samples_file, *self.curve_files()]:
            path.unlink(missing_ok=True)

    def config(self) -> TrainConfig:
        """The config that made the run. Raises RunError if it is missing or no longer fits."""
        if self.is_export:
            return self._exported_config()
        try:
            return check(yaml.safe_load(read_checked_text(self.config_file)), TrainConfig)
        except ConfigError as error:
            first = str(error).partition("\n")[0]
            raise RunError(
                f"{self.config_file}: {first}; use the textloom that made the run, or train a new one"
            ) from error
        except yaml.YAMLError as error:
            raise RunError(f"{self.config_file}: not the config of a run; train the run again") from error

    def _exported_config(self) -> TrainConfig:
        try:
            return check(self.exported().get("config", {}), TrainConfig)
        except ConfigError as error:
            first = str(error).partition("\n")[0]
            raise RunError(
                f"{self.export_file}: {first}; use the textloom that exported it, or export the run again"
            ) from error

    def status(self) -> dict[str, Any]:
        """What ``status.json`` says; empty where there is none. Raises RunError if it is damaged.

        A run that is said to be running, though no process holds its lock, was killed: it is ``interrupted``.
        """
        if not self.status_file.exists():
            return {}
        status = read_json(self.status_file)
        if status.get("status") == "running" and not is_locked(self.lock_file):
            return {**status, "status": "interrupted", "error": "its process was killed"}
        return status

    def results(self) -> dict[str, Any]:
        """What ``results.json`` says; empty where there is none yet."""
        return read_json(self.results_file) if self.results_file.exists() else {}

    @property
    def has_final_results(self) -> bool:
        """True if ``results.json`` has the figures of the best checkpoint as it is now. Raises RunError for damage."""
        return self.status().get("status") in HAVE_RESULTS and bool(self.results())

    @property
    def has_trained(self) -> bool:
        """True from the first optimizer step on, and for runs of former versions, of which that is not known."""
        return bool(self.status().get("trained", True)) or any(self.checkpoints.glob("*.ckpt"))

    @property
    def seconds_worked(self) -> float:
        """Seconds that processes have worked on the run, as of the last time that its status was written."""
        status = self.status()
        if "seconds" in status:
            return float(status["seconds"])
        with suppress(RunError):  # runs of former versions have the time of their last process
            return float(self.results().get("duration_seconds", 0.0))
        return 0.0

    def mark(self, status: Status, error: str | None = None) -> None:
        """Write the status, and the error that ended the run if there was one."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        before = self.status()
        changes = {"finished": None if status == "running" else now, "status": status, "error": error}
        if status == "running":  # a process begins, whatever the one before it left
            before = {"started": now, "trained": bool(before), **before, "seconds": self.seconds_worked}
            before.pop("written", None)
        self._write_status(before, changes)

    def mark_trained(self) -> None:
        """Record that the first optimizer step is done."""
        self._write_status(self.status(), {"trained": True})

    def mark_progress(self) -> None:
        """Record the time worked so far, so that it is known if the process is killed."""
        self._write_status(self.status(), {})

    def _write_status(self, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Write the changed status. While a process works on the run, the time since the last write is added."""
        now = datetime.now(UTC)
        worked = 0.0
        if before.get("status") == "running" and "written" in before:
            worked = max(0.0, (now - datetime.fromisoformat(before["written"])).total_seconds())
        seconds = {"seconds": before.get("seconds", 0.0) + worked, "written": now.isoformat(timespec="microseconds")}
        write_json(self.status_file, {**before, **changes, **seconds})


@contextmanager
def claimed_run(directory: Path, resume: bool = False, wait: float = 0) -> Iterator[Run]:
    """A directory for a new run, or for a run to go on with; no other process can claim it meanwhile.

    ``wait`` is how many seconds another process is given to end first.

    The claim dies with its process. Raises RunError if the directory is in use, already holds a run that has
    trained, or cannot be written, or if its path is not UTF-8.
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
                    f"{directory}: already holds a run; go on with it by resume={directory}, "
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


def is_locked(path: Path) -> bool:
    """True if a process holds this lock; nothing is written. False where the system has no such locks."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the lock of another user, which cannot be opened
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
