"""A run directory: its files, status and results.

It holds all that is needed to evaluate, generate, resume and compare, on any machine.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from textloom.config import TrainConfig
from textloom.config.checking import check
from textloom.errors import ConfigError, RunError
from textloom.system.files import is_locked, read_checked_text, read_json, write_json

Status = Literal["running", "completed", "stopped", "interrupted", "failed", "pruned"]
CheckpointName = Literal["best", "last", "previous"]
OVER: tuple[Status, ...] = ("completed", "pruned")
HAVE_RESULTS: tuple[Status, ...] = ("completed", "stopped")
EXPORT_FORMAT = "textloom export 1"
RESUME_ORDER: tuple[CheckpointName, ...] = ("last", "previous", "best")  # newest first


@dataclass(frozen=True)
class Run:
    """The directory of one run, or of an export of one, and the files in it."""

    directory: Path

    @property
    def config_file(self) -> Path:
        """The resolved config, YAML."""
        return self.directory / "config.yaml"

    @property
    def overrides_file(self) -> Path:
        """The overrides of the user, a YAML list."""
        return self.directory / "overrides.yaml"

    @property
    def status_file(self) -> Path:
        """The status, when the run started and ended, and for how long processes have worked on it."""
        return self.directory / "status.json"

    @property
    def loggers_file(self) -> Path:
        """The ids of the run in the loggers beside TensorBoard."""
        return self.directory / "loggers.json"

    @property
    def provenance_file(self) -> Path:
        """Code, versions, machine and data that the run was made with."""
        return self.directory / "provenance.json"

    @property
    def results_file(self) -> Path:
        """The scores of the best checkpoint and the cost of the training, by their names in TensorBoard."""
        return self.directory / "results.json"

    @property
    def evaluations_file(self) -> Path:
        """The figures of evaluations by other protocols, each with its signature."""
        return self.directory / "evaluations.json"

    def analysis(self, method: str) -> Path:
        """The folder of TensorBoard's events about the errors that the model makes if scored by a method."""
        return self.directory / "analysis" / method

    @property
    def tokenizer_file(self) -> Path:
        """The fitted tokenizer."""
        return self.directory / "tokenizer.json"

    @property
    def start_file(self) -> Path:
        """The weights that the training started from, if they are those of another run."""
        return self.directory / "start.safetensors"

    @property
    def tokens(self) -> Path:
        """The folder of the token stores, one for each split."""
        return self.directory / "tokens"

    @property
    def samples_file(self) -> Path:
        """The texts generated at each validation."""
        return self.directory / "samples.txt"

    @property
    def memorization_file(self) -> Path:
        """The memorization of each sample of the best checkpoint."""
        return self.directory / "memorization.json"

    @property
    def trace_file(self) -> Path:
        """The trace of some training steps, if ``trainer.profiler=torch``."""
        return self.directory / "trace.json"

    @property
    def profile_file(self) -> Path:
        """The time spent in each of Lightning's hooks, if ``trainer.profiler=simple``."""
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
        """In an export only: the config, and the checksums of the weights and the tokenizer."""
        return self.directory / "config.json"

    @property
    def weights_file(self) -> Path:
        """In an export only: the weights."""
        return self.directory / "model.safetensors"

    @property
    def is_export(self) -> bool:
        """True for an export, which has weights, but no checkpoints and no training split."""
        return not self.config_file.exists() and self.export_file.exists()

    def exported(self) -> dict[str, Any]:
        """The content of the ``config.json`` of an export. Raises RunError if it is damaged or of another program."""
        content = read_json(self.export_file)
        made = str(content.get("format"))
        if made != EXPORT_FORMAT and made.startswith("textloom export "):
            raise RunError(
                f"{self.export_file}: {made}, which this version does not read; use the textloom that exported it, or "
                "export the run again"
            )
        if made != EXPORT_FORMAT:
            raise RunError(f"{self.export_file}: not an export of textloom; give a folder that textloom export wrote")
        return content

    @property
    def lock_file(self) -> Path:
        """The file that the process which trains the run holds locked."""
        return self.directory / ".lock"

    @property
    def log_file(self) -> Path:
        """The log of the training."""
        return self.directory / "train.log"

    def curve_files(self) -> list[Path]:
        """TensorBoard's event files."""
        return sorted(self.directory.glob("events.out.tfevents.*"))

    def files(self) -> list[Path]:
        """All files that training has written to the directory."""
        fixed = (
            self.config_file, self.overrides_file, self.status_file, self.provenance_file, self.results_file,
            self.evaluations_file, self.tokenizer_file, self.loggers_file, self.samples_file, self.trace_file,
            self.profile_file, self.log_file, self.lock_file, self.start_file, self.memorization_file,
        )  # fmt: skip
        checkpoints, tokens = self.checkpoints.glob("*.ckpt"), self.tokens.glob("*")
        return [*(path for path in fixed if path.exists()), *checkpoints, *tokens, *self.curve_files()]

    def remove_untrained(self) -> None:
        """Remove the samples and curves of a training without a checkpoint, which starts from the beginning."""
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
        """The content of ``status.json``; empty if there is none. Raises RunError if it is damaged.

        If the status is "running" but no process holds the lock, the process was killed: the status is "interrupted".
        """
        if not self.status_file.exists():
            return {}
        status = read_json(self.status_file)
        if status.get("status") == "running" and not is_locked(self.lock_file):
            return {**status, "status": "interrupted", "error": "its process was killed"}
        return status

    def data_fingerprint(self) -> str:
        """The fingerprint of the text and its splits; ``unknown`` for runs that did not record it."""
        if self.is_export:
            return str(self.exported().get("provenance", {}).get("data_fingerprint", "unknown"))
        made = read_json(self.provenance_file) if self.provenance_file.exists() else {}
        return str(made.get("data_fingerprint", "unknown"))

    def results(self) -> dict[str, Any]:
        """The content of ``results.json``; empty if there is none yet. Raises RunError if it is damaged."""
        return read_json(self.results_file) if self.results_file.exists() else {}

    @property
    def has_final_results(self) -> bool:
        """True if the results are those of the current best checkpoint. Raises RunError if a file is damaged."""
        return self.status().get("status") in HAVE_RESULTS and bool(self.results())

    @property
    def has_trained(self) -> bool:
        """True after the first optimizer step, and for runs of former versions, which did not record it."""
        return bool(self.status().get("trained", True)) or any(self.checkpoints.glob("*.ckpt"))

    @property
    def seconds_worked(self) -> float:
        """Seconds that processes have worked on the run, until its status was last written."""
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
        if status == "running":  # a process begins; it adds to the time of those before it
            before = {"started": now, "trained": bool(before), **before, "seconds": self.seconds_worked}
            before.pop("written", None)
        self._write_status(before, changes)

    def mark_trained(self) -> None:
        """Record that the first optimizer step is done."""
        self._write_status(self.status(), {"trained": True})

    def mark_progress(self) -> None:
        """Record the time worked so far, so that it is not lost if the process is killed."""
        self._write_status(self.status(), {})

    def _write_status(self, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Write the changed status. While a process works on the run, the time since the last write is added."""
        now = datetime.now(UTC)
        worked = 0.0
        if before.get("status") == "running" and "written" in before:
            worked = max(0.0, (now - datetime.fromisoformat(before["written"])).total_seconds())
        seconds = {"seconds": before.get("seconds", 0.0) + worked, "written": now.isoformat(timespec="microseconds")}
        write_json(self.status_file, {**before, **changes, **seconds})
