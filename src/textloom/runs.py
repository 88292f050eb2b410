"""A run directory: where each file lies, its status, its results.

It holds all that is needed to evaluate and to generate, on any machine.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from textloom.composition import check
from textloom.config import TrainConfig
from textloom.errors import ConfigError, RunError

Status = Literal["running", "completed", "interrupted", "failed"]
CheckpointName = Literal["best", "last"]


@dataclass(frozen=True)
class Run:
    """The directory of one training, and the files in it."""

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
        """Whether the run is running, completed, interrupted or failed."""
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
    def checkpoints(self) -> Path:
        """The folder of ``best.ckpt`` and ``last.ckpt``."""
        return self.directory / "checkpoints"

    def checkpoint_file(self, name: CheckpointName) -> Path:
        """One of the checkpoints."""
        return self.checkpoints / f"{name}.ckpt"

    def config(self) -> TrainConfig:
        """The config that made the run. Raises RunError where it is missing or no longer fits."""
        try:
            return check(OmegaConf.to_container(OmegaConf.load(self.config_file)), TrainConfig)  # type: ignore[arg-type]
        except FileNotFoundError as error:
            raise RunError(f"{self.directory}: not a run directory (no config.yaml); give one that is") from error
        except ConfigError as error:
            raise RunError(f"{self.config_file}: {error}") from error
        except Exception as error:  # any damage: YAML's errors, wrong encodings
            raise RunError(f"{self.config_file}: cannot be read; restore it, or train the run again") from error

    def status(self) -> dict[str, Any]:
        """What ``status.json`` says; empty where there is none."""
        return read_json(self.status_file) if self.status_file.exists() else {}

    def results(self) -> dict[str, Any]:
        """What ``results.json`` says; empty where there is none yet."""
        return read_json(self.results_file) if self.results_file.exists() else {}

    def mark(self, status: Status, error: str | None = None) -> None:
        """Write the status, and the error that ended the run if there was one."""
        content = {**self.status(), "status": status, "error": error}
        content["started" if status == "running" else "finished"] = datetime.now(UTC).isoformat(timespec="microseconds")
        write_json(self.status_file, content)


def create_run(directory: Path) -> Run:
    """Claim a directory for a new run. Raises RunError where it already holds one or cannot be written."""
    run = Run(directory)
    try:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.status_file.open("x").close()
    except FileExistsError as error:
        raise RunError(f"{directory}: already holds a run; give another directory as hydra.run.dir=DIR") from error
    except OSError as error:
        raise RunError(
            f"{directory}: cannot be written ({error.strerror}); give another as hydra.run.dir=DIR"
        ) from error
    write_json(run.status_file, {})
    run.mark("running")
    return run


def find_run(name: str, outputs: Path, checkpoint: CheckpointName = "best") -> Run:
    """The run that 'latest', 'best' or a directory names. Raises RunError where there is none with a checkpoint.

    'best' has the lowest val/bits_per_char among the runs that were scored on the same data as the latest one:
    figures on other data do not compare.
    """
    if name not in ("latest", "best"):
        return _run_at(Path(name).expanduser(), checkpoint)
    runs = sorted(_runs_below(outputs, checkpoint), key=lambda run: str(run.status().get("started", "")))
    if not runs:
        raise RunError(f"{outputs}: there is no run with a checkpoint here; train one, or set outputs=DIR")
    if name == "latest":
        return runs[-1]
    data = _fingerprint(runs[-1])
    scored = [run for run in runs if "val/bits_per_char" in run.results() and _fingerprint(run) == data]
    if not scored:
        raise RunError(f"{outputs}: no run on the latest run's data has results yet; wait for one, or use run=latest")
    return min(scored, key=lambda run: float(run.results()["val/bits_per_char"]))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises RunError where the file holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    except (OSError, ValueError):
        pass
    raise RunError(f"{path}: not the JSON that a run writes; restore it, or train the run again")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object so that a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _run_at(directory: Path, checkpoint: CheckpointName) -> Run:
    run = Run(directory)
    if not directory.is_dir():
        raise RunError(f"run={directory}: there is no such directory; give a run directory, latest or best")
    if not run.config_file.exists():
        raise RunError(f"run={directory}: not a run directory (no config.yaml); give one that is, or latest, or best")
    if not run.checkpoint_file(checkpoint).exists():
        raise RunError(f"run={directory}: the run has no checkpoint {checkpoint}.ckpt (yet); give one that has")
    return run


def _runs_below(outputs: Path, checkpoint: CheckpointName) -> Iterator[Run]:
    for path in outputs.glob("**/status.json"):
        run = Run(path.parent)
        if run.config_file.exists() and run.checkpoint_file(checkpoint).exists():
            yield run


def _fingerprint(run: Run) -> str:
    return str(read_json(run.provenance_file).get("data_fingerprint"))
