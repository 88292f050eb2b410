"""The Hydra plugin ``hydra/sweeper=textloom``. It imports little, because Hydra imports every plugin at its start."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class TextloomSweeperConf:
    """No keys: those of a sweep are in the group ``sweep``."""

    _target_: str = "hydra_plugins.textloom_sweeps.sweeper.TextloomSweeper"
    _recursive_: bool = False


ConfigStore.instance().store(group="hydra/sweeper", name="textloom", node=TextloomSweeperConf, provider="textloom")


class TextloomSweeper(Sweeper):
    """Runs a sweep with ``textloom.sweeps``."""

    hydra_context: HydraContext
    config: DictConfig

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the context and the config; trials do not use Hydra's task function."""
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that these overrides describe."""
        from textloom.sweeps.sweep import run_sweep

        return run_sweep(self.config, self.hydra_context.config_loader, arguments)
