"""The launcher that a config names. Those that need an optional package are imported when they are chosen."""

from typing import Any

from omegaconf import DictConfig

from textloom.config import SweepConfig
from textloom.errors import ConfigError
from textloom.sweeps.launchers import Launcher
from textloom.sweeps.launchers.serial import SerialLauncher
from textloom.sweeps.launchers.subprocesses import SubprocessLauncher
from textloom.sweeps.launchers.workers import WorkersLauncher
from textloom.sweeps.resources import shares

SUBMITIT = "hydra_plugins.hydra_submitit_launcher."


def choose_launcher(config: SweepConfig, master: DictConfig, fixed: dict[str, Any], trials: int) -> Launcher:
    """The launcher for this number of trials. Raises ConfigError if it cannot be used here."""
    target = str(master.hydra.launcher._target_)
    if target.startswith(SUBMITIT):
        from textloom.sweeps.launchers.slurm import SlurmLauncher

        return SlurmLauncher(config, master.hydra.launcher, trials)
    if not target.startswith("hydra._internal."):
        name = master.hydra.runtime.choices["hydra/launcher"]
        raise ConfigError(f"hydra/launcher={name}: does not launch trials; set sweep.launcher=workers, or ray")
    accelerator = str(fixed["trainer"]["accelerator"])
    if config.launcher == "serial":
        if config.parallel not in (None, 1):
            raise ConfigError(f"sweep.parallel={config.parallel}: serial runs one; set sweep.launcher=workers")
        return SerialLauncher()
    if config.launcher == "ray":
        from textloom.sweeps.launchers.on_ray import RayLauncher

        return RayLauncher(config, trials, accelerator)
    mine = shares(config, trials, accelerator)
    if config.launcher == "subprocess":
        return SubprocessLauncher(mine)
    return WorkersLauncher(mine)
