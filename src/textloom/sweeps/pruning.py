"""Pruning: after each validation a trial reports its metric, and the pruner may end it."""

from typing import Any

import optuna
import pytorch_lightning as pl
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner

from textloom.errors import Pruned
from textloom.sweeps.job import Pruning
from textloom.sweeps.storage import open_storage


def build_pruner(name: str | None) -> BasePruner:
    """The pruner of this name in ``sweep.pruner``. Its steps are validations.

    The median rule is that of Golovin et al. (2017), "Google Vizier", section 3.2.2; Hyperband that of Li et al.
    (2018), arXiv 1603.06560.
    """
    pruners: dict[str | None, type[BasePruner]] = {
        None: NopPruner,
        "median": MedianPruner,
        "hyperband": HyperbandPruner,
    }
    return pruners[name]()


class PruningCallback(pl.Callback):
    """Raises Pruned after a validation, on the first rank; the other ranks end with it."""

    def __init__(self, pruning: Pruning):
        self.pruning = pruning
        self.validations = 0
        self._study: optuna.Study | None = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the validation, before its checkpoint, which contains the count, is written."""
        self.validations += not trainer.sanity_checking

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the metric. Raises Pruned if the pruner ends the trial."""
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics[self.pruning.metric])
        if self._is_worse(value):
            raise Pruned(f"{self.pruning.metric} {value:.4f} at validation {self.validations}")

    def state_dict(self) -> dict[str, Any]:
        """The count, for a resumed trial."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count."""
        self.validations = state_dict["validations"]

    def _is_worse(self, value: float) -> bool:
        if self._study is None:
            storage, pruner = open_storage(self.pruning.storage), build_pruner(self.pruning.pruner)
            self._study = optuna.load_study(study_name=self.pruning.study, storage=storage, pruner=pruner)
        storage, number = self._study._storage, self.pruning.trial
        storage.set_trial_intermediate_value(number, self.validations, value)
        return self._study.pruner.prune(self._study, storage.get_trial(number))
