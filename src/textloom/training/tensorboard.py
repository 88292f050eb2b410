"""The event file of a run for TensorBoard: curves, hyper-parameters and results."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from textloom.config import TrainConfig
from textloom.config.keys import Form, keys_of
from textloom.config.values import value_text
from textloom.runs.checkpoints import read_checkpoint
from textloom.system.heavy_imports import without_tensorflow
from textloom.training.loggers import ExtraLoggers

with without_tensorflow():
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from torch.utils.tensorboard.summary import custom_scalars, hparams

LAYOUT = {
    "train and validation": {
        "loss (nats per target)": ["Multiline", ["train/loss", "val/loss"]],
    },
    "validation": {
        "perplexity": ["Multiline", ["val/perplexity"]],
        "bits per character": ["Multiline", ["val/bits_per_char"]],
        "accuracy": ["Multiline", ["val/accuracy"]],
    },
    "train": {
        "gradient norm, learning rate": ["Multiline", ["train/gradient_norm", "train/learning_rate"]],
        "targets per second": ["Multiline", ["train/targets_per_second"]],
    },
}  # the custom scalars tab
NUMBER, BOOLEAN, TEXT = "number", "boolean", "text"


class RunLogger(TensorBoardLogger):
    """Writes one event file directly into the run directory, so that TensorBoard names the run after it."""

    def __init__(self, directory: Path, checkpoint: str | None = None, extras: ExtraLoggers | None = None):
        """Open the file. A resumed run writes the points after ``checkpoint`` again, which hides the old ones."""
        purge = {"purge_step": read_checkpoint(Path(checkpoint))["global_step"] + 1} if checkpoint else {}
        super().__init__(directory, name=None, version="", default_hp_metric=False, **purge)
        self.extras = extras
        self.status = "success"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Write a point of each curve, here and in the extra loggers."""
        super().log_metrics(metrics, step)
        if self.extras is not None:
            self.extras.log_metrics(metrics, step)

    def finalize(self, status: str) -> None:
        """Flush only: Lightning calls this after training, and the results that follow would open a second file."""
        self.status = status
        self.experiment.flush()

    def save(self) -> None:
        """Write nothing: the run directory has its config.yaml."""

    def close(self) -> None:
        """Close the file and the other loggers at the end of the run."""
        self.experiment.close()
        if self.extras is not None:
            self.extras.close(self.status)


def announce(logger: RunLogger, config: TrainConfig) -> None:
    """Write the run's hyper-parameters, before training, so that an interrupted run has them too, and the charts.

    TensorBoard makes the columns of its HParams tab from all runs below its log directory, those that differ first, if
    no run says what the columns are. (The one that torch's ``add_hparams`` writes says so for all.)
    """
    writer = logger.experiment._get_file_writer()
    values = hyperparameters(config)
    writer.add_summary(hparams_pb(values, trial_id=trial_name(Path(logger.save_dir))))
    if logger.extras is not None:
        logger.extras.log_hyperparameters(values)
    writer.add_summary(custom_scalars(LAYOUT))  # type: ignore[no-untyped-call]


def write_results(logger: RunLogger, figures: dict[str, float], step: int) -> None:
    """Write the figures of the best checkpoint: the last point of each curve, and all of them as a table of text."""
    logger.log_metrics(figures | best_so_far(figures), step)
    lines = [f"| {name} | {value:.6g} |" for name, value in figures.items()]
    logger.experiment.add_text("results", "\n".join(["| best checkpoint | |", "|---|---|", *lines]), step)
    _, _, completed = hparams({}, {})  # type: ignore[no-untyped-call]
    logger.experiment._get_file_writer().add_summary(completed)


def best_so_far(figures: dict[str, float]) -> dict[str, float]:
    """The curves that TensorBoard shows first and takes as the first results in its HParams tab.

    It sorts by name: without them Time Series would open on the single points of the test split.
    """
    return {f"best/{name}": figures[f"val/{name}"] for name in ("bits_per_char", "loss")}


def trial_name(directory: Path) -> str:
    """A name for the HParams tab, which shows its first 14 characters, so it begins with the values that vary.

    The hash of the path makes it unique: TensorBoard takes runs of one name for repetitions of one trial.
    """
    pieces = [piece.partition("=") for piece in directory.name.split(",")]
    values = ",".join(value for _, separator, value in pieces if separator)  # of a trial of a sweep
    digest = hashlib.sha256(str(directory.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{values} {directory.name} {directory.parent.name} {digest[:6]}".strip()


# --- hyper-parameters -----------------------------------------------------------------------------------------------


def hyperparameters(config: TrainConfig) -> dict[str, str | float | bool]:
    """Every key that changes results, the same for every run: TensorBoard shows those in which runs differ.

    A key has one type in all runs, else its column could not be sorted: a number that is null is left out, text that is
    null or belongs to another choice of its group is ``null``.
    """
    values = config.model_dump(mode="json")
    found = {key: _cell(_look_up(values, key), kind) for key, kind in hyperparameter_types().items()}
    return {key: value for key, value in found.items() if value is not None}


@cache
def hyperparameter_types() -> dict[str, str]:
    """Each key that changes results, and the type of its column."""
    keys = keys_of(TrainConfig).values()
    return {key.name: _kind(key.types) for key in keys if key.form is not Form.GROUP and key.effect.changes_results}


def _kind(plain: frozenset[Any]) -> str:
    if plain & {int, float}:
        return NUMBER
    return BOOLEAN if plain == {bool} else TEXT


def _look_up(values: Any, key: str) -> Any:
    """The value of a dotted key; None where a part of it is missing."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _cell(value: Any, kind: str) -> str | float | bool | None:
    if kind == TEXT:
        return value_text(value)
    if kind == BOOLEAN:
        return value if isinstance(value, bool) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
