"""Read learning curves from a run's event files. TensorBoard is slow to import, so ``read_curves`` imports it."""

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textloom.runs.run import Run
from textloom.system.heavy_imports import without_tensorflow

log = logging.getLogger(__name__)

POINTS = 1000  # most points of a curve: more than a screen shows


@dataclass(frozen=True)
class Curve:
    """One figure during training; all arrays are (points,)."""

    steps: np.ndarray
    values: np.ndarray
    targets: np.ndarray | None
    """Targets trained on up to each point; None if the run did not record them."""
    seconds: np.ndarray
    """Wall time since the first point of the run, pauses included."""


def read_curves(run: Run, tags: tuple[str, ...]) -> dict[str, Curve]:
    """The curves of the tags that the run has. A truncated file is read up to its end, with a warning."""
    with without_tensorflow():
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted(run.directory.glob("events.out.tfevents.*"))
    broken = [file for file in files if not _ends_whole(file)]
    for file in broken:
        log.warning("%s: breaks off in the middle; its curves are shown up to there", file)
    if not files:
        return {}
    # it logs every file that it opens and every replaced point of a resumed run
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(run.directory), size_guidance={"scalars": POINTS})
    events.Reload()
    known = events.Tags()["scalars"]
    scalars = {tag: events.Scalars(tag) for tag in {*tags, "train/targets"} & set(known)}
    began = min((point.wall_time for points in scalars.values() for point in points), default=0.0)
    work = scalars.get("train/targets")
    curves = {tag: _curve(scalars[tag], work, began) for tag in tags if scalars.get(tag)}
    if not broken and not _reach_the_results(run, curves, tags):
        log.warning("%s: its event files are damaged; its curves are shown up to there", run.directory)
    return curves


def _curve(points: list, work: list | None, began: float) -> Curve:  # type: ignore[type-arg]
    steps = np.array([point.step for point in points])
    targets = None
    if work:
        # validations are at steps of training points; the result of the best checkpoint is one step after the last
        targets = np.interp(steps, [0, *(point.step for point in work)], [0, *(point.value for point in work)])
    seconds = np.array([point.wall_time - began for point in points])
    return Curve(steps, np.array([point.value for point in points]), targets, seconds)


def _reach_the_results(run: Run, curves: dict[str, Curve], tags: tuple[str, ...]) -> bool:
    """True if the validation curves of a completed run end with its results, in float32."""
    results = {tag: value for tag, value in run.results().items() if tag in tags and tag.startswith("val/")}
    ends = {tag: curves[tag].values[-1] for tag in results if tag in curves}
    return len(ends) == len(results) and all(np.isclose(ends[tag], results[tag], rtol=1e-5) for tag in ends)


def _ends_whole(file: Path) -> bool:
    """True if the last record is complete: length (8 bytes), checksum (4), content, checksum (4)."""
    size, place = file.stat().st_size, 0
    with file.open("rb") as content:
        while place < size:
            content.seek(place)
            head = content.read(8)
            if len(head) < 8:
                return False
            place += 16 + struct.unpack("<Q", head)[0]
    return place == size
