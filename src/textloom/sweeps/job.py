"""The job of a launcher: one trial in plain types, which can be sent to other processes and machines."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from textloom.system.files import read_json, write_json


@dataclass(frozen=True)
class Pruning:
    """The Optuna study that decides after each validation whether a trial is pruned."""

    storage: str
    """The study's journal file, or its storage URL."""
    study: str
    trial: int
    """The trial's id in the storage."""
    metric: str
    pruner: str


@dataclass(frozen=True)
class Job:
    """A trial to train, or to resume."""

    directory: str
    """Absolute path; on a cluster, in a folder that all machines share."""
    config: dict[str, Any]
    overrides: list[str]
    timeout: float | None
    """Seconds."""
    pruning: Pruning | None = None

    @property
    def log_file(self) -> Path:
        """The log and the output of the trial."""
        return Path(self.directory) / "train.log"

    def write(self) -> Path:
        """Write the job into its directory, and return the path, from which another process can read it."""
        path = Path(self.directory) / "job.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))
        path.chmod(0o600)  # a storage URL may hold a password
        return path

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Read a job that ``write`` has written."""
        content = read_json(path)
        pruning = content.pop("pruning")
        return cls(**content, pruning=None if pruning is None else Pruning(**pruning))
