"""Optimizers and schedules are what their configs say, and others can be registered."""

from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from conftest import compose_train
from textloom.config import OPTIMIZERS, SCHEDULES, OptimizerConfig, TrainConfig
from textloom.training.optimizers import build_optimizer
from textloom.training.schedules import build_schedule


@pytest.mark.parametrize(
    ("overrides", "kind", "settings"),
    [
        (["optimizer=adam"], torch.optim.Adam, {"lr": 0.004, "betas": (0.9, 0.999), "weight_decay": 0.0}),
        (["optimizer=adamw", "optimizer.beta1=0.8"], torch.optim.AdamW, {"betas": (0.8, 0.999), "weight_decay": 0.01}),
        (["optimizer=rmsprop", "optimizer.momentum=0.5"], torch.optim.RMSprop, {"alpha": 0.95, "momentum": 0.5}),
        (["optimizer=sgd", "optimizer.learning_rate=2.0"], torch.optim.SGD, {"lr": 2.0, "momentum": 0.0}),
    ],
)
@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_has_the_settings_of_its_config(
    overrides: list[str], kind: type, settings: dict[str, Any], fused: bool
) -> None:
    optimizer = build_optimizer(compose_train(*overrides).optimizer, nn.Linear(2, 2).parameters(), fused)
    assert type(optimizer) is kind
    assert optimizer.defaults.items() >= settings.items()
    assert bool(optimizer.defaults.get("fused")) == (fused and kind is not torch.optim.RMSprop)


def test_a_schedule_changes_the_learning_rate_as_its_config_says() -> None:
    def schedule(*overrides: str) -> Any:
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
        return build_schedule(compose_train(*overrides).schedule, optimizer, 12)

    assert schedule("schedule=constant") is None
    plateau = schedule("schedule=plateau", "schedule.factor=0.5", "schedule.patience=3")
    assert isinstance(plateau, ReduceLROnPlateau)
    assert (plateau.factor, plateau.patience) == (0.5, 3)
    cosine = schedule("schedule=cosine", "schedule.warmup_steps=2", "schedule.final_fraction=0.1")
    rates = []
    for _ in range(13):
        rates.append(cosine.get_last_lr()[0])
        cosine.optimizer.step()
        cosine.step()
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[7] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1)


@pytest.mark.usefixtures("own_registries")
def test_another_optimizer_is_a_config_class_and_a_function() -> None:
    assert OPTIMIZERS.names == ("adam", "adamw", "rmsprop", "sgd")
    assert SCHEDULES.names == ("constant", "cosine", "plateau")

    class NesterovConfig(OptimizerConfig):
        kind: Literal["nesterov"]

    @OPTIMIZERS.register(NesterovConfig)
    def build(config: NesterovConfig, parameters: Any, fused: bool) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, config.learning_rate, momentum=0.9, nesterov=True)

    values = {"kind": "nesterov", "learning_rate": 0.5, "weight_decay": 0.0}
    config = TrainConfig.model_validate({**compose_train().model_dump(), "optimizer": values})
    assert config.model_dump(mode="json")["optimizer"] == values
    optimizer = build_optimizer(config.optimizer, nn.Linear(1, 1).parameters(), False)
    assert optimizer.defaults["nesterov"]
