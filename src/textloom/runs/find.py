"""Finding the run that ``run=`` or ``resume=`` names: a directory, the latest or the best."""

import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from textloom.errors import RunError
from textloom.runs.run import OVER, CheckpointName, Run
from textloom.system.command_hint import as_command

log = logging.getLogger(__name__)


def find_run(name: str, outputs: Path, checkpoint: CheckpointName | None = "best", key: str = "run") -> Run:
    """The run that 'latest', 'best' or a directory names. Raises RunError if it has no such checkpoint.

    'latest' is the newest run that has a checkpoint. 'best' is the run with the lowest val/bits_per_char among those on
    the same data as the latest one; scores on other data are not comparable. Errors name the run as the value of
    ``key``.
    """
    if name not in ("latest", "best"):
        return _run_at(Path(name), checkpoint, key)
    found = _runs_below(outputs)
    if not found:
        raise RunError(f"{outputs}: there is no run here; train one, or set outputs=DIR")
    runs = [run for run in found if checkpoint is None or _checkpoints(run)]
    if not runs:
        return _require(found[-1], f"{key}={name}: {found[-1].directory}", checkpoint)
    if name == "latest":
        latest = _newest_sound(runs)
        return _require(latest, f"{key}=latest: {latest.directory}", checkpoint)
    data = runs[-1].data_fingerprint()
    scored = [run for run in runs if run.results() and run.data_fingerprint() == data]
    scored = [run for run in scored if checkpoint is None or run.checkpoint_file(checkpoint).exists()]
    if not scored:
        raise RunError(f"{outputs}: no run on the latest run's data has results yet; wait for one, or use {key}=latest")
    return min(scored, key=lambda run: float(run.results()["val/bits_per_char"]))


def _newest_sound(runs: list[Run]) -> Run:
    """The last run whose config can be read, or the first if all are damaged. Damaged runs are logged."""
    for run in reversed(runs[1:]):
        try:
            run.config()
            return run
        except RunError as error:
            log.warning("skipped: %s", error)
    return runs[0]


def run_to_resume(name: str, outputs: Path) -> Run:
    """The run that 'latest' or a directory names. Raises RunError if there is none."""
    run = _latest_to_resume(outputs) if name == "latest" else Run(Path(name))
    if run.is_export:
        raise RunError(f"resume={name}: an export, which cannot be resumed; give the run that it was made from")
    if not run.status_file.exists():
        problem = "not a run directory" if run.directory.is_dir() else "there is no such directory"
        raise RunError(f"resume={name}: {problem}; give a run directory, or latest")
    if not os.access(run.directory, os.W_OK | os.X_OK):
        place = shlex.quote(str(run.directory))
        raise RunError(
            f"resume={name}: {run.directory} cannot be written; copy it and resume the copy, or chmod -R u+w {place}"
        )
    return run


def _latest_to_resume(outputs: Path) -> Run:
    """The newest run that was interrupted and has a checkpoint; if there is none, the newest run."""
    runs = _runs_below(outputs)
    if not runs:
        raise RunError(f"{outputs}: there is no run here; give resume=DIR")
    interrupted = [
        run for run in runs if run.status().get("status") not in OVER and run.checkpoint_file("last").exists()
    ]
    return (interrupted or runs)[-1]


def _run_at(directory: Path, checkpoint: CheckpointName | None, key: str) -> Run:
    run = Run(directory)
    if not directory.is_dir():
        raise RunError(f"{key}={directory}: there is no such directory; give a run directory, latest or best")
    if run.is_export:
        return run
    if not run.config_file.exists():
        raise RunError(f"{key}={directory}: not a run directory (no config.yaml); give one that is, or latest, or best")
    return _require(run, f"{key}={directory}", checkpoint)


def _require(run: Run, label: str, checkpoint: CheckpointName | None) -> Run:
    if checkpoint is None or run.checkpoint_file(checkpoint).exists():
        return run
    raise RunError(f"{label}: {_without(run, checkpoint)}")


def _without(run: Run, checkpoint: CheckpointName) -> str:
    """Why a run does not have a checkpoint, and what to do."""
    status, there = run.status(), _checkpoints(run)
    go_on = f"{as_command('train')} resume={shlex.quote(str(run.directory))}"
    if there:
        if checkpoint == "best" and not _has_validated(run):
            missing = "the run has no best checkpoint yet (no validation has finished)"
        else:
            missing = f"{run.checkpoint_file(checkpoint).relative_to(run.directory)} is missing"
        return f"{missing}; set checkpoint={there[0]}, or resume with: {go_on}"
    if status.get("status") == "running":
        return "the run has no checkpoint yet, and is being trained; wait for its first one"
    state = {"failed": "failed", "pruned": "was pruned"}.get(str(status.get("status")), "was interrupted")
    return f"the run {state} before its first checkpoint; start it again with: {go_on}"


def _has_validated(run: Run) -> bool:
    """True if a validation has finished: samples are written after each."""
    return bool(run.results()) or (run.samples_file.exists() and run.samples_file.stat().st_size > 0)


def _checkpoints(run: Run) -> list[CheckpointName]:
    """The checkpoints of a run that can be selected, the newest first."""
    names: tuple[CheckpointName, ...] = ("last", "best")
    return [name for name in names if run.checkpoint_file(name).exists()]


def _runs_below(outputs: Path) -> list[Run]:
    """The runs below a folder, in the order in which they were started. Damaged runs are logged and left out."""
    started: list[tuple[str, Run]] = []
    for directory in _run_directories(outputs):
        run = Run(directory)
        try:
            run.results(), run.data_fingerprint()
            started.append((str(run.status().get("started", "")), run))
        except RunError as error:
            log.warning("skipped: %s", error)
    return [run for _, run in sorted(started, key=lambda pair: pair[0]) if run.config_file.exists()]


def _run_directories(outputs: Path) -> Iterator[Path]:
    """Directories that have a status.json, each once; symbolic links are followed."""
    seen: set[str] = set()
    for folder, below, files in os.walk(outputs, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            below.clear()
            continue
        seen.add(place)
        below.sort()
        if "status.json" in files:
            yield Path(folder)
