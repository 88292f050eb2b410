"""Calibration, loss by position in the document, and loss by frequency of the token, as curves for TensorBoard.

TensorBoard's horizontal axis is the step: here it is a position, a frequency, or a probability in percent.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textloom.errors import RunError
from textloom.evaluation.token_scores import TokenScores
from textloom.system.heavy_imports import without_tensorflow

CALIBRATION_BINS = 15  # of Guo et al. (2017)


@dataclass(frozen=True)
class Curve:
    """Means of the tokens of each bucket."""

    firsts: np.ndarray
    """(buckets,) int64: the lowest value in each."""
    counts: np.ndarray
    """(buckets,) int64: its tokens, at least one."""
    means: np.ndarray
    """(buckets,) float64."""


def calibration_error(scores: TokenScores) -> float:
    """Expected calibration error: mean distance between the probability of the likeliest token and its accuracy.

    Guo et al. (2017), "On calibration of modern neural networks", arXiv 1706.04599, equation 3, in 15 equal bins.
    """
    targets = scores.targets
    confidences, correct = scores.confidences[targets].astype(np.float64), scores.correct[targets]
    bins = np.minimum((confidences * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidences - correct, minlength=CALIBRATION_BINS)  # (bins,)
    return float(np.abs(gaps).sum() / len(targets))


def calibration(scores: TokenScores) -> Curve:
    """Accuracy by the probability of the likeliest token, in percent."""
    targets = scores.targets
    percent = np.minimum((scores.confidences[targets] * 20).astype(np.int64), 19) * 5
    return _curve(percent, scores.correct[targets])


def loss_by_position(scores: TokenScores) -> Curve:
    """Loss by the position of a token in its document: 0, 1 and 2, 3 to 6, 7 to 14, and so on."""
    targets = scores.targets
    _, positions = scores.documents(targets)
    return _curve(_floor_power(positions + 1) - 1, scores.nats[targets])


def loss_by_frequency(scores: TokenScores, training: np.ndarray) -> Curve:
    """Loss by the frequency of a token in the training split: 0, 1, 2 and 3, 4 to 7, and so on.

    ``training`` are the tokens of that split.
    """
    targets = scores.targets
    tokens = scores.split.tokens[targets + 1].astype(np.int64)
    counts = np.bincount(training, minlength=int(tokens.max()) + 1)[tokens]
    return _curve(np.where(counts > 0, _floor_power(np.maximum(counts, 1)), 0), scores.nats[targets])


def write_analysis(directory: Path, scores: Mapping[str, TokenScores], training: np.ndarray) -> dict[str, float]:
    """Write the curves of each split for TensorBoard, in place of what is there, and return the calibration errors.

    ``training`` are the tokens of the training split. Raises RunError if the directory cannot be written.
    """
    with without_tensorflow():
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only an analysis needs it
    errors = {f"{name}/calibration_error": calibration_error(found) for name, found in scores.items()}
    try:
        shutil.rmtree(directory, ignore_errors=True)
        with SummaryWriter(str(directory)) as writer:
            for name, found in scores.items():
                writer.add_scalar(f"{name}/calibration_error", errors[f"{name}/calibration_error"])
                curves = {
                    "accuracy_by_probability": calibration(found),
                    "loss_by_position": loss_by_position(found),
                    "loss_by_frequency": loss_by_frequency(found, training),
                }
                for title, curve in curves.items():
                    for first, mean in zip(curve.firsts.tolist(), curve.means.tolist(), strict=True):
                        writer.add_scalar(f"{name}/{title}", mean, first)
                    writer.add_text(f"{name}/{title}", _table(title, curve))
    except OSError as error:
        raise RunError(f"{directory}: cannot be written ({error.strerror or error}); make room") from error
    return errors


def _curve(buckets: np.ndarray, values: np.ndarray) -> Curve:
    firsts, places = np.unique(buckets, return_inverse=True)
    counts = np.bincount(places)
    return Curve(firsts, counts, np.bincount(places, weights=values.astype(np.float64)) / counts)


def _floor_power(numbers: np.ndarray) -> np.ndarray:
    """The largest power of two that is not above each number, which is at least 1."""
    powers: np.ndarray = 2 ** np.floor(np.log2(numbers)).astype(np.int64)
    return powers


def _table(title: str, curve: Curve) -> str:
    value, _, by = title.partition("_by_")
    rows = zip(curve.firsts.tolist(), curve.counts.tolist(), curve.means.tolist(), strict=True)
    lines = [f"| {first:,} | {count:,} | {mean:.4f} |" for first, count, mean in rows]
    return "\n".join([f"| {by} from | tokens | {value} |", "|---|---|---|", *lines])
