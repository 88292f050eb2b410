"""A trial of a sweep: its directory, its config and its state."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from textloom.config import TrainConfig, effect_of
from textloom.config.checking import check, flatten
from textloom.config.keys import keys_of
from textloom.config.paths import one_spelling
from textloom.config.quoting import unquoted
from textloom.config.section import Mark
from textloom.config.values import value_text
from textloom.errors import ConfigError, RunError
from textloom.runs.run import HAVE_RESULTS, Run
from textloom.sweeps.space import Point, as_overrides, point_text
from textloom.system.files import read_json

State = Literal["waiting", "running", "completed", "pruned", "failed", "interrupted"]
COMPOSED = "trial.json"  # in the directory of a trial: its composed config
LONGEST_NAME = 120  # bytes: file systems allow 255, and tools append suffixes


@dataclass
class Trial:
    """One training of a sweep."""

    number: int
    point: Point
    directory: Path
    config: TrainConfig | None
    """None for a completed trial of an earlier call."""
    overrides: list[str]
    state: State = "waiting"
    started: float | None = None
    """Start in this call, by ``time.monotonic``."""
    seconds: float | None = None
    """Duration as recorded in its directory."""
    wall: float | None = None
    """Seconds from its start to its end in this call, including the start of its process."""
    values: tuple[float, ...] | None = None
    """The metrics of the sweep."""
    error: str | None = None
    restarts: int = 0

    @property
    def name(self) -> str:
        """The values of the varying keys, which name the trial."""
        return point_text(self.point)

    @property
    def log_file(self) -> Path:
        """The log and the output of the trial."""
        return self.directory / "train.log"

    def read(self, metrics: Iterable[str]) -> None:
        """Read state, error and figures from the directory. Raises RunError if a metric is not in the results."""
        run = Run(self.directory)
        try:
            status, results = run.status(), run.results()
        except RunError as error:
            self.state, self.error = "failed", str(error)
            return
        said = status.get("error")
        self.error = None if said is None else " ".join(str(said).split())
        self.state = _state(str(status.get("status", "")), bool(results))
        self.seconds = _seconds_between(status.get("started"), status.get("finished"))
        if self.state == "completed":
            missing = [name for name in metrics if name not in results]
            if missing:
                raise RunError(f"sweep.metric={missing[0]}: no run has it; choose from {', '.join(sorted(results))}")
            self.values = tuple(float(results[name]) for name in metrics)
            self.seconds = float(results["duration_seconds"])


def _state(status: str, has_results: bool) -> State:
    if status in HAVE_RESULTS and has_results:  # a trial that trainer.max_time ended is over
        return "completed"
    over: dict[str, State] = {"pruned": "pruned", "failed": "failed", "": "waiting"}
    return over.get(status, "interrupted")


def _seconds_between(started: str | None, finished: str | None) -> float | None:
    if started is None or finished is None:
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


@dataclass(frozen=True)
class Fingerprints:
    """The directories of a sweep's runs, by the fingerprints of their configs."""

    varying: tuple[str, ...] = ()
    """The keys and groups that vary."""
    directories: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def below(cls, directory: Path, varying: tuple[str, ...]) -> "Fingerprints":
        """Read the config of every run below a directory, except unreadable ones, which ``place`` refuses."""
        found = {}
        for path in sorted(directory.glob("*/config.yaml")):
            try:
                found[fingerprint(composed_config(Run(path.parent)), varying)] = path.parent
            except RunError:
                continue
        return cls(varying, found)

    def place(self, sweep: Path, point: Point, config: TrainConfig) -> Path:
        """The directory of a trial.

        Raises RunError, naming a key, if a run with another config occupies it.
        """
        print_ = fingerprint(config, self.varying)
        if print_ in self.directories:
            return self.directories[print_]
        directory = sweep / directory_name(point)
        run = Run(directory)
        if run.config_file.exists():
            try:
                before = composed_config(run)
            except RunError:
                return directory  # damaged: trained again
            raise RunError(_other_config(directory, compared(before, self.varying), compared(config, self.varying)))
        self.directories[print_] = directory
        return directory


def composed_config(run: Run) -> TrainConfig:
    """The config of a trial as composed; in the run's own config, open keys are filled in.

    Raises RunError if it is damaged, or no longer fits the schema.
    """
    file = run.directory / COMPOSED
    if not file.exists():
        return run.config()
    try:
        return check(read_json(file)["config"], TrainConfig)
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error


def fingerprint(config: TrainConfig, varying: tuple[str, ...]) -> str:
    """A checksum that is equal for configs of the same trial."""
    values = {key: comparable(key, value) for key, value in compared(config, varying).items()}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def comparable(key: str, value: Any) -> Any:
    """The value of a key in a normal form, so that two spellings of a path compare equal."""
    return one_spelling(value) if key in _paths() else value


@cache
def _paths() -> frozenset[str]:
    return frozenset(name for name, key in keys_of(TrainConfig).items() if Mark.PATH in key.marks)


def compared(config: TrainConfig | dict[str, Any], varying: tuple[str, ...] = ()) -> dict[str, Any]:
    """The flat config without keys that change no results, unless they vary: an experiment may set any key."""
    values = config.model_dump(mode="json") if isinstance(config, TrainConfig) else config
    flat = flatten({key: value for key, value in values.items() if key not in ("resume", "sweep")})
    if "experiment" in varying:
        return flat
    return {key: value for key, value in flat.items() if is_of(key, varying) or effect_of(key).changes_results}


def is_of(key: str, names: Iterable[str]) -> bool:
    """True if the key is one of these keys, or in one of these groups."""
    return any(key == name or key.startswith(f"{name.replace('/', '.')}.") for name in names)


def differing(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """'key=OLD then, key=NEW now' for the first key that differs; None if none does."""
    for key in sorted(before.keys() | now.keys()):
        if comparable(key, before.get(key)) != comparable(key, now.get(key)):
            return f"{key}={value_text(before.get(key))} then, {key}={value_text(now.get(key))} now"
    return None


def _other_config(directory: Path, before: dict[str, Any], now: dict[str, Any]) -> str:
    return (
        f"{directory}: trained with another config ({differing(before, now)}), and one sweep does not mix them; "
        "give the former value, or sweep.name=NAME for another sweep"
    )


def directory_name(point: Point) -> str:
    """The choices as a directory name; a shortened name ends in a checksum."""
    whole = point_text(point) or "trial"
    name = re.sub(r"[^\w.,=+@~ -]", "_", whole)
    if name == whole and len(name.encode()) <= LONGEST_NAME:
        return name
    short = ",".join(f"{key.rpartition('.')[2]}={_rounded(unquoted(text))}" for key, text in point.items())
    name = re.sub(r"[^\w.,=+@~ -]", "_", short).encode()[: LONGEST_NAME - 9].decode("utf-8", "ignore")
    return f"{name}-{hashlib.sha256(','.join(as_overrides(point)).encode()).hexdigest()[:8]}"


def _rounded(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
