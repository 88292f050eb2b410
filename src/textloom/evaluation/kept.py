"""The evaluations that a run directory keeps, in ``evaluations.json``: figures with their signatures.

The figures of the training's own protocol are those of ``results.json``. This file imports no torch.
"""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from textloom.errors import RunError
from textloom.runs.run import CheckpointName, Run
from textloom.system.files import read_json, write_json

log = logging.getLogger(__name__)

KEY = "evaluations"


@dataclass(frozen=True)
class KeptEvaluation:
    """The figures of one evaluation, and everything they depend on."""

    method: str
    """The protocol and the kinds of adaptation, without settings; figures of the same method are comparable."""
    signatures: dict[str, str]
    """Split -> signature of its figures."""
    figures: dict[str, float]
    """As in ``results.json``."""
    fingerprint: str
    """The fingerprint of the text that was scored."""
    checkpoint: CheckpointName
    trained_loss: float | None
    """``val/loss`` in ``results.json`` at that time: figures of weights that were trained further are dropped."""
    own: bool = False
    """True for the training's own protocol, whose figures ``results.json`` has."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of the adaptation."""
    tuned: bool = False
    """True if the settings were tuned on the validation split."""


def read_kept(run: Run) -> list[KeptEvaluation]:
    """The evaluations of the run's present weights. Raises RunError if the file is damaged."""
    if not run.evaluations_file.exists():
        return []
    try:
        kept = [KeptEvaluation(**entry) for entry in read_json(run.evaluations_file)[KEY]]
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.evaluations_file}: written by another textloom; remove it, or use that one") from error
    loss = run.results().get("val/loss")
    return [entry for entry in kept if entry.trained_loss == loss]


def keep(run: Run, evaluation: KeptEvaluation) -> None:
    """Add an evaluation, in place of the one with its signatures; a directory that is read-only stays as it is."""
    if run.is_export:
        return
    replaced = (evaluation.signatures, evaluation.checkpoint)
    try:
        others = [one for one in read_kept(run) if (one.signatures, one.checkpoint) != replaced]
    except RunError as error:
        log.warning("%s: the file is replaced", error)
        others = []
    try:
        write_json(run.evaluations_file, {KEY: [asdict(one) for one in [*others, evaluation]]})
    except RunError as error:
        log.warning("not kept: %s", error)
