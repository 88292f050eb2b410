"""A run directory: where each file lies, its status, its results.

It holds all that is needed to evaluate and to generate, on any machine.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout

from textloom.composition import check
from textloom.config import TrainConfig
from textloom.errors import ConfigError, RunError
from textloom.files import read_checked_text, read_json, write_json

log = logging.getLogger(__name__)

Status = Literal["running", "completed", "interrupted", "failed", "pruned"]
CheckpointName = Literal["best", "last", "previous"]
OVER: tuple[Status, ...] = ("completed", "pruned")
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
        """Whether the run is running, completed, interrupted or failed, or was pruned by a sweep."""
        return self.directory / "status.json"

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
        """What an export's ``config.json`` says. Raises RunError where it is damaged or not ours."""
        content = read_json(self.export_file)
        if content.get("format") != EXPORT_FORMAT:
            raise RunError(f"{self.export_file}: not an export of textloom; give a folder that textloom export wrote")
        return content

    def forget_training(self) -> None:
        """Remove what a training without a checkpoint left behind, so that another can begin."""
        for path in [self.samples_file, *self.directory.glob("events.out.tfevents.*")]:
            path.unlink(missing_ok=True)

    def config(self) -> TrainConfig:
        """The config that made the run. Raises RunError where it is missing or no longer fits."""
        if self.is_export:
            return self._exported_config()
        try:
            return check(yaml.safe_load(read_checked_text(self.config_file)), TrainConfig)
        except ConfigError as error:
            first = str(error).partition("\n")[0]
            raise RunError(f"{self.config_file}: {first}; use the textloom that made the run, or train anew") from error
        except yaml.YAMLError as error:
            raise RunError(f"{self.config_file}: not the config of a run; train the run again") from error

    def _exported_config(self) -> TrainConfig:
        try:
            return check(self.exported().get("config", {}), TrainConfig)
        except ConfigError as error:
            first = str(error).partition("\n")[0]
            raise RunError(f"{self.export_file}: {first}; use the textloom that exported it, or export anew") from error

    def status(self) -> dict[str, Any]:
        """What ``status.json`` says; empty where there is none."""
        return read_json(self.status_file) if self.status_file.exists() else {}

    def results(self) -> dict[str, Any]:
        """What ``results.json`` says; empty where there is none yet."""
        return read_json(self.results_file) if self.results_file.exists() else {}

    def mark(self, status: Status, error: str | None = None) -> None:
        """Write the status, and the error that ended the run if there was one."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        times = {"started": now, **self.status(), "finished": None if status == "running" else now}
        write_json(self.status_file, {**times, "status": status, "error": error})


@contextmanager
def claimed_run(directory: Path, resume: bool = False, wait: float = 0) -> Iterator[Run]:
    """A directory for a new run, or for a run to go on with; no other process can claim it meanwhile.

    ``wait`` is how many seconds another process is given to end first.

    The claim dies with its process. Raises RunError where the directory is in use, already holds another run, or cannot
    be written.
    """
    run = Run(directory)
    lock = FileLock(directory / ".lock")
    try:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise RunError(f"{directory}: another process is training this run; wait for it, or stop it") from error
    except OSError as error:
        cure = "give another as hydra.run.dir=DIR"
        raise RunError(f"{directory}: cannot be written ({error.strerror}); {cure}") from error
    with lock:
        if not resume and run.status_file.exists():
            raise RunError(
                f"{directory}: already holds a run; go on with it by resume={directory}, "
                "or give another directory as hydra.run.dir=DIR"
            )
        run.mark("running")
        yield run


def find_run(name: str, outputs: Path, checkpoint: CheckpointName | None = "best") -> Run:
    """The run that 'latest', 'best' or a directory names. Raises RunError where there is none with a checkpoint.

    'best' has the lowest val/bits_per_char among the runs that were scored on the same data as the latest one:
    figures on other data do not compare.
    """
    if name not in ("latest", "best"):
        return _run_at(Path(name), checkpoint)
    runs = sorted(_runs_below(outputs, checkpoint), key=lambda run: str(run.status().get("started", "")))
    if not runs:
        raise RunError(f"{outputs}: there is no run with a checkpoint here; train one, or set outputs=DIR")
    if name == "latest":
        return runs[-1]
    data = _fingerprint(runs[-1])
    scored = [run for run in runs if _fingerprint(run) == data and run.results()]
    if not scored:
        raise RunError(f"{outputs}: no run on the latest run's data has results yet; wait for one, or use run=latest")
    return min(scored, key=lambda run: float(run.results()["val/bits_per_char"]))


def latest_to_resume(outputs: Path) -> Run:
    """The newest run that was cut and has a checkpoint; where none was cut, the newest. Raises RunError without any."""
    runs = sorted(_runs_below(outputs, None), key=lambda run: str(run.status().get("started", "")))
    if not runs:
        raise RunError(f"{outputs}: there is no run here; give resume=DIR")
    cut = [run for run in runs if run.status().get("status") not in OVER and run.checkpoint_file("last").exists()]
    return (cut or runs)[-1]


def _run_at(directory: Path, checkpoint: CheckpointName | None) -> Run:
    run = Run(directory)
    if not directory.is_dir():
        raise RunError(f"run={directory}: there is no such directory; give a run directory, latest or best")
    if run.is_export:
        return run
    if not run.config_file.exists():
        raise RunError(f"run={directory}: not a run directory (no config.yaml); give one that is, or latest, or best")
    if checkpoint is not None and not run.checkpoint_file(checkpoint).exists():
        raise RunError(f"run={directory}: the run has no checkpoint {checkpoint}.ckpt (yet); give one that has")
    return run


def _runs_below(outputs: Path, checkpoint: CheckpointName | None) -> Iterator[Run]:
    for path in outputs.glob("**/status.json"):
        run = Run(path.parent)
        try:
            run.status(), run.results(), _fingerprint(run)
        except RunError as error:
            log.warning("passed over: %s", error)
            continue
        if run.config_file.exists() and (checkpoint is None or run.checkpoint_file(checkpoint).exists()):
            yield run


def _fingerprint(run: Run) -> str:
    return str(read_json(run.provenance_file)["data_fingerprint"]) if run.provenance_file.exists() else "unknown"
