"""Ending a trial early: after each validation it says how it does, and asks whether that is worth going on."""

from typing import Any

import optuna
import pytorch_lightning as pl
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner

from textloom.errors import Pruned
from textloom.sweeps.job import Pruning
from textloom.sweeps.storage import open_storage


def build_pruner(name: str | None) -> BasePruner:
    """By its name in ``sweep.pruner``. Steps are validations, so that trials compare at the same share of training.

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
    """Raises Pruned after a validation, on the first rank, which ends all others with it."""

    def __init__(self, pruning: Pruning):
        self.pruning = pruning
        self.validations = 0
        self._study: optuna.Study | None = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counted before the checkpoint of this validation is written, which holds the count."""
        self.validations += not trainer.sanity_checking

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how it does, and obey."""
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics[self.pruning.metric])
        if self._is_worse(value):
            raise Pruned(f"{self.pruning.metric} {value:.4f} at validation {self.validations}")

    def state_dict(self) -> dict[str, Any]:
        """A trial that goes on counts on."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.validations = state_dict["validations"]

    def _is_worse(self, value: float) -> bool:
        if self._study is None:
            storage, pruner = open_storage(self.pruning.storage), build_pruner(self.pruning.pruner)
            self._study = optuna.load_study(study_name=self.pruning.study, storage=storage, pruner=pruner)
        storage, number = self._study._storage, self.pruning.trial
        storage.set_trial_intermediate_value(number, self.validations, value)
        return self._study.pruner.prune(self._study, storage.get_trial(number))
