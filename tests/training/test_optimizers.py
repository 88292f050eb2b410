"""Optimizers and schedules are what their configs say, and others can be registered."""

from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from conftest import compose_train, model_config
from textloom.config import OPTIMIZERS, SCHEDULES, OptimizerConfig, TrainConfig
from textloom.errors import ConfigError
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.training.optimizers import build_optimizer
from textloom.training.schedules import build_schedule

NTASGD = ("optimizer=ntasgd", "trainer.weight_averaging=null")

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")


@pytest.mark.parametrize(
    ("overrides", "kind", "settings"),
    [
        (["optimizer=adam"], torch.optim.Adam, {"lr": 0.004, "betas": (0.9, 0.999), "weight_decay": 0.0}),
        (["optimizer=adamw", "optimizer.beta1=0.8"], torch.optim.AdamW, {"betas": (0.8, 0.999), "weight_decay": 0.01}),
        (["optimizer=adam", "optimizer.epsilon=1e-6"], torch.optim.Adam, {"eps": 1e-6}),
        (["optimizer=rmsprop", "optimizer.momentum=0.5"], torch.optim.RMSprop, {"alpha": 0.95, "momentum": 0.5}),
        (["optimizer=sgd", "optimizer.learning_rate=2.0"], torch.optim.SGD, {"lr": 2.0, "momentum": 0.0}),
        ([*NTASGD, "optimizer.learning_rate=3.0"], torch.optim.SGD, {"lr": 3.0, "weight_decay": 1.2e-6}),
    ],
)
@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_has_the_settings_of_its_config(
    overrides: list[str], kind: type, settings: dict[str, Any], fused: bool
) -> None:
    optimizer = build_optimizer(compose_train(*overrides).optimizer, model_of(), fused)
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


def test_a_warm_up_that_outlasts_the_training_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    shares(["schedule=cosine", "schedule.warmup_steps=11"], 1)
    assert caplog.messages == []
    assert max(shares(["schedule=cosine", "schedule.warmup_steps=12"], 12)) < 1
    assert caplog.messages == [
        "schedule.warmup_steps=12: the learning rate never reaches its peak in 12 steps; lower it"
    ]


def shares(overrides: list[str], steps: int, total_steps: int = 12) -> list[float]:
    """The learning rate before each step, or epoch, of a schedule whose peak is 1."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = build_schedule(compose_train(*overrides).schedule, optimizer, total_steps)
    assert schedule is not None
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_a_step_schedule_is_constant_and_then_falls_after_each_epoch_as_zaremba_et_al_have_it() -> None:
    tensorflow = [0.5 ** max(epoch + 1 - 4, 0) for epoch in range(13)]  # lr_decay ** max(i + 1 - max_epoch, 0.0)
    assert shares(["schedule=step"], 13) == tensorflow


def test_a_step_schedule_falls_every_so_many_epochs_or_at_given_ones() -> None:
    every = ["schedule=step", "schedule.factor=0.1", "schedule.constant_epochs=2", "schedule.every_epochs=3"]
    assert shares(every, 7) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    assert shares([*every, "schedule.at_epochs=[1,4]"], 6) == pytest.approx([1, 0.1, 0.1, 0.1, 0.01, 0.01])
    with pytest.raises(ConfigError, match=r"schedule\.at_epochs must be rising numbers of epochs"):
        compose_train("schedule=step", "schedule.at_epochs=[4,1]")


def test_one_cycle_is_that_of_torch_and_outlasts_its_steps() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    theirs = OneCycleLR(optimizer, 1.0, total_steps=40, cycle_momentum=False)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    ours = shares(["schedule=onecycle"], 43, total_steps=40)
    assert ours == pytest.approx([*expected, *expected[-1:] * 3])


def model_of(**keys: Any) -> RecurrentLanguageModel:
    values = compose_train("model.units=8", "model.embedding_dim=8", "model.output_dropout=0").model.model_dump()
    return RecurrentLanguageModel(model_config({**values, **keys}), 20)


def decays(model: nn.Module, *overrides: str) -> dict[str, float]:
    """The weight decay of each parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optimizer(compose_train(*overrides).optimizer, model, False).param_groups
    found = {names[id(one)]: group["weight_decay"] for group in groups for one in group["params"]}
    assert found.keys() == set(names.values())
    return found


@pytest.mark.parametrize("kind", ["adamw", pytest.param("muon", marks=needs_muon)])
def test_weight_decay_pulls_matrices_alone(kind: str) -> None:
    found = decays(model_of(), f"optimizer={kind}")
    assert {name for name, decay in found.items() if decay == 0} == {
        "embedding.weight", "softmax.bias", "recurrence.bias_ih_l0", "recurrence.bias_hh_l0",
    }  # fmt: skip
    assert {decay for decay in found.values() if decay} == {0.01}
    assert set(decays(model_of(), f"optimizer={kind}", "optimizer.decayed_weights=all").values()) == {0.01}


@pytest.mark.parametrize("kind", ["adamw", pytest.param("muon", marks=needs_muon)])
def test_weight_decay_leaves_norms_and_initial_states_alone(kind: str) -> None:
    model = model_of(layers=2, layer_dropout=0.0, layer_norm=True, residual=True, learned_initial_state=True)
    found = decays(model, f"optimizer={kind}")
    assert any("norm" in name for name in found)
    assert any("first_state" in name for name in found)
    assert all((decay > 0) == ("weight_" in name or name == "softmax.weight") for name, decay in found.items()), found


def test_a_tied_embedding_is_the_matrix_of_the_softmax_and_decays() -> None:
    assert decays(model_of(tied_weights=True), "optimizer=adamw")["embedding.weight"] == 0.01


def test_without_weight_decay_there_is_one_group() -> None:
    assert len(build_optimizer(compose_train("optimizer=adam").optimizer, model_of(), False).param_groups) == 1


@needs_muon
def test_muon_moves_the_hidden_matrices_and_adamw_the_rest() -> None:
    model = model_of(layers=2)
    twin = model_of(layers=2)
    twin.load_state_dict(model.state_dict())
    hidden = [one for name, one in twin.named_parameters() if "recurrence.weight" in name]
    others = [one for one in twin.parameters() if all(one is not matrix for matrix in hidden)]
    ours = build_optimizer(compose_train("optimizer=muon", "optimizer.weight_decay=0.0").optimizer, model, False)
    theirs = [
        torch.optim.Muon(hidden, lr=0.004, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.004, weight_decay=0.0),
    ]
    for _ in range(3):
        for one, other in zip(model.parameters(), twin.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in (ours, *theirs):
            optimizer.step()
    assert len(hidden) == 4
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_matrix_of_a_one_hot_input_is_no_hidden_one() -> None:
    model = model_of(embedding_dim=None)
    shapes = [tuple(matrix.shape) for matrix in model.hidden_matrices()]
    assert shapes == [(32, 8)]


def test_without_muon_one_line_says_which_torch_has_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from conftest import train_run

    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ConfigError, match=r"^optimizer=muon: torch .* has no Muon, which came with 2\.9; pip install"):
        train_run(tmp_path / "run", "optimizer=muon")


def test_ntasgd_and_a_running_mean_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"optimizer=ntasgd averages .* set trainer\.weight_averaging=null"):
        compose_train("optimizer=ntasgd")


@pytest.mark.usefixtures("own_registries")
def test_another_optimizer_is_a_config_class_and_a_function() -> None:
    assert OPTIMIZERS.names == ("adam", "adamw", "muon", "ntasgd", "rmsprop", "sgd")
    assert SCHEDULES.names == ("constant", "cosine", "onecycle", "plateau", "step")

    class NesterovConfig(OptimizerConfig):
        kind: Literal["nesterov"]

    @OPTIMIZERS.register(NesterovConfig)
    def build(config: NesterovConfig, parameters: Any, fused: bool) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, config.learning_rate, momentum=0.9, nesterov=True)

    values = {"kind": "nesterov", "learning_rate": 0.5, "weight_decay": 0.0, "decayed_weights": "all"}
    config = TrainConfig.model_validate({**compose_train().model_dump(), "optimizer": values})
    assert config.model_dump(mode="json")["optimizer"] == values
    optimizer = build_optimizer(config.optimizer, nn.Linear(1, 1), False)
    assert optimizer.defaults["nesterov"]
