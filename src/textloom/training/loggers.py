"""Loggers beside TensorBoard, chosen with the key ``logger``: Lightning's own for CSV, MLflow and Weights & Biases.

Each gets the points that TensorBoard gets, under the same tags, and the same hyper-parameters. CSV files lie in the
run directory. MLflow and W&B write where their own settings say: ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the
working directory; ``WANDB_MODE`` and ``WANDB_PROJECT``, with files below ``wandb/`` in the working directory. Their ids
are kept in the run directory, so that a resumed run continues in them.

mlflow and wandb are optional packages, so they are imported by the functions that use them.
"""

import logging
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, WandbLogger

from textloom.config import TrainConfig
from textloom.config.trainer import LoggerName
from textloom.errors import ConfigError, RunError, TrainingError
from textloom.runs.run import Run
from textloom.system.files import read_json, write_json

log = logging.getLogger(__name__)

PACKAGES = {"mlflow": "mlflow", "wandb": "wandb"}
"""Logger -> the package that it needs; the extra of textloom has the logger's name."""


def check_loggers(names: Sequence[LoggerName]) -> None:
    """Raises ConfigError if a logger needs a package that is not installed."""
    for name in names:
        if name in PACKAGES and find_spec(PACKAGES[name]) is None:
            raise ConfigError(f"logger={name}: {PACKAGES[name]} is not installed; pip install 'textloom[{name}]'")


class ExtraLoggers:
    """The loggers of a run beside TensorBoard.

    One that fails during the training, for example because its server is gone, is dropped with a warning; TensorBoard's
    files hold everything.
    """

    def __init__(self, config: TrainConfig, run: Run, resumed: bool):
        """Raises TrainingError if a logger cannot be opened."""
        self.loggers: dict[str, Logger] = {}
        self.shares_wandb = "WANDB_SERVICE" in os.environ  # the caller's own runs use it too
        ids = _read_ids(run) if resumed else {}
        for name in config.logger:
            if name == "tensorboard":
                continue
            try:
                self.loggers[name], ids[name] = _OPENED_BY[name](config, run, ids.get(name))
            except Exception as error:
                raise TrainingError(
                    f"logger={name}: cannot be opened ({_first_line(error)}); {_CURES[name]}"
                ) from error
        if ids:
            write_json(run.loggers_file, ids)

    def log_hyperparameters(self, values: dict[str, Any]) -> None:
        """Write the hyper-parameters of the run."""
        self._each(lambda logger: logger.log_hyperparams(values))

    def log_metrics(self, figures: dict[str, float], step: int | None) -> None:
        """Write a point of each curve."""
        self._each(lambda logger: logger.log_metrics(figures, step))

    def close(self, status: str) -> None:
        """End the run in each of them; ``status`` is Lightning's word for how it ended."""
        self._each(lambda logger: _close(logger, status, self.shares_wandb))
        self.loggers = {}

    def _each(self, call: Callable[[Logger], None]) -> None:
        for name, logger in [*self.loggers.items()]:
            try:
                call(logger)
            except Exception as error:
                log.warning("logger=%s: failed (%s); it receives nothing more of this run", name, _first_line(error))
                del self.loggers[name]


def _csv(config: TrainConfig, run: Run, known: str | None) -> tuple[Logger, str]:
    """``csv/version_N/metrics.csv`` in the run directory; a resumed run writes the next version."""
    logger = CSVLogger(run.directory, name="csv")
    return logger, str(logger.version)


def _mlflow(config: TrainConfig, run: Run, known: str | None) -> tuple[Logger, str]:
    """A run in the experiment ``name``, called like the run directory."""
    import mlflow

    logger = MLFlowLogger(
        config.name,
        run_name=run.directory.name,
        run_id=known,
        tracking_uri=mlflow.get_tracking_uri(),
        tags={"run_directory": str(run.directory.absolute())},
    )
    assert logger.run_id is not None
    return logger, logger.run_id


def _wandb(config: TrainConfig, run: Run, known: str | None) -> tuple[Logger, str]:
    """A run in the group ``name``, called like the run directory."""
    import wandb

    logger = WandbLogger(
        run.directory.name,
        id=known,
        project=os.environ.get("WANDB_PROJECT", "textloom"),
        group=config.name,
        notes=str(run.directory.absolute()),
        resume="allow",
        settings=wandb.Settings(silent=True, console="off"),  # terminal and streams stay as they are
    )
    return logger, str(logger.experiment.id)


_OPENED_BY = {"csv": _csv, "mlflow": _mlflow, "wandb": _wandb}
_CURES = {
    "csv": "leave it out",
    "mlflow": "set MLFLOW_TRACKING_URI to a server that answers, or leave it out",
    "wandb": "run wandb login, set WANDB_MODE=offline, or leave it out",
}


def _close(logger: Logger, status: str, shares_wandb: bool) -> None:
    logger.finalize(status)
    if isinstance(logger, WandbLogger):
        import wandb

        logger.experiment.finish(exit_code=int(status != "success"))
        if not shares_wandb:
            wandb.teardown()  # ends its process, and removes its variable from the environment


def _read_ids(run: Run) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in read_json(run.loggers_file).items()}
    except RunError:  # no such logger before, or damaged: begin new ones
        return {}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
