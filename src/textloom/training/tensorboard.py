"""What a run writes for TensorBoard: one event file, with the hyper-parameters beside their results."""

from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from textloom.checkpoints import read_checkpoint
from textloom.composition import flatten
from textloom.config import TrainConfig
from textloom.importing import without_tensorflow

without_tensorflow()

from torch.utils.tensorboard.summary import custom_scalars, hparams  # noqa: E402

RESULT_METRICS = ("val/loss", "val/bits_per_char")  # the same in every run: TensorBoard takes its columns from one run
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
SHOWN_OF_A_PLAIN_RUN = ("data.kind", "tokenizer.level", "batching.kind", "model.cell", "model.units")
NEVER_COMPARED = ("name", "resume")


class RunLogger(TensorBoardLogger):
    """Writes one event file, straight into the run directory, so that a run bears its directory's name."""

    def __init__(self, directory: Path, checkpoint: str | None = None):
        """Where the run goes on from a checkpoint, points after its step are written anew, and the old ones hidden."""
        purge = {"purge_step": read_checkpoint(Path(checkpoint))["global_step"] + 1} if checkpoint else {}
        super().__init__(directory, name=None, version="", default_hp_metric=False, **purge)

    def finalize(self, status: str) -> None:
        """Flush only: Lightning calls this after training, and the results that follow would open a second file."""
        self.experiment.flush()

    def save(self) -> None:
        """Nothing beside the events: the run directory has its config.yaml."""

    def close(self) -> None:
        """The run is over."""
        self.experiment.close()


def announce(logger: RunLogger, config: TrainConfig, overrides: list[str]) -> None:
    """Say which keys the HParams tab shows, before training, so that a run that is cut is there too, and which charts.

    The metric values come from the scalars of the same names.
    """
    shown = hyperparameters(config, overrides)
    writer = logger.experiment._get_file_writer()
    for summary in hparams(shown, dict.fromkeys(RESULT_METRICS, 0.0)):  # type: ignore[no-untyped-call]
        writer.add_summary(summary)
    writer.add_summary(custom_scalars(LAYOUT))  # type: ignore[no-untyped-call]


def hyperparameters(config: TrainConfig, overrides: list[str]) -> dict[str, str | int | float | bool]:
    """What the user changed, which in a sweep is what varies; of a run with nothing changed, its main keys."""
    flat = flatten(config.model_dump())
    given = dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    shown = {key: flat.get(key, choice) for key, choice in given.items() if key not in NEVER_COMPARED}
    shown = shown or {key: flat[key] for key in SHOWN_OF_A_PLAIN_RUN if key in flat}
    return {key: _plain(value) for key, value in shown.items()}


def _plain(value: Any) -> str | int | float | bool:
    """TensorBoard takes numbers, text and booleans."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float | bool) else "none" if value is None else str(value)
