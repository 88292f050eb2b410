"""Optimizers and learning rate schedules from their configs."""

from collections.abc import Iterable
from math import cos, pi
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from textloom.config import (
    AdamConfig,
    CosineSchedule,
    OptimizerConfig,
    PlateauSchedule,
    RMSpropConfig,
    ScheduleConfig,
)


def build_optimizer(config: OptimizerConfig, parameters: Iterable[torch.nn.Parameter], fused: bool) -> Optimizer:
    """Adam (Kingma and Ba 2014, arXiv 1412.6980), AdamW (arXiv 1711.05101), RMSprop or SGD.

    ``fused``: the step in one kernel, for those that have one.
    """
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if isinstance(config, AdamConfig):
        kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
        return kind(parameters, betas=(config.beta1, config.beta2), fused=fused, **shared)
    if isinstance(config, RMSpropConfig):
        return torch.optim.RMSprop(parameters, alpha=config.smoothing, momentum=config.momentum, **shared)
    return torch.optim.SGD(parameters, momentum=config.momentum, fused=fused, **shared)


def build_schedule(config: ScheduleConfig, optimizer: Optimizer, total_steps: int) -> LambdaLR | None:
    """What moves the learning rate at every optimizer step; None where nothing does."""
    if not isinstance(config, CosineSchedule):
        return None
    warmup, final = config.warmup_steps, config.final_fraction

    def share_of_peak(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final + (1 - final) * (1 + cos(pi * progress)) / 2

    return LambdaLR(optimizer, share_of_peak)


def build_plateau(config: ScheduleConfig, optimizer: Optimizer) -> ReduceLROnPlateau | None:
    """What lowers the learning rate after validations without improvement; None where nothing does."""
    if not isinstance(config, PlateauSchedule):
        return None
    return ReduceLROnPlateau(optimizer, factor=config.factor, patience=config.patience)
