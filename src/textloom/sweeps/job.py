"""What a launcher is given: one trial in plain types, which travels to other processes and machines."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from textloom.system.files import read_json, write_json


@dataclass(frozen=True)
class Pruning:
    """How a trial asks, after a validation, whether it is worth going on."""

    storage: str
    """The study's journal file, or its storage URL."""
    study: str
    trial: int
    """The trial's id in the storage."""
    metric: str
    pruner: str


@dataclass(frozen=True)
class Job:
    """A trial to train, or to go on with where it was cut."""

    directory: str
    """Absolute; on a cluster the same place for all machines."""
    config: dict[str, Any]
    overrides: list[str]
    timeout: float | None
    """Seconds."""
    pruning: Pruning | None = None

    @property
    def log_file(self) -> Path:
        """Everything that the trial says."""
        return Path(self.directory) / "train.log"

    def write(self) -> Path:
        """Write the job into its directory, for a process that is told only where."""
        path = Path(self.directory) / "job.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))
        path.chmod(0o600)  # a storage URL may hold a password
        return path

    @classmethod
    def read(cls, path: Path) -> "Job":
        """What ``write`` wrote."""
        content = read_json(path)
        pruning = content.pop("pruning")
        return cls(**content, pruning=None if pruning is None else Pruning(**pruning))
