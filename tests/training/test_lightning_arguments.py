"""Every argument of Lightning's Trainer works in ``trainer.extra``, or is refused in one line with the key to set."""

import inspect
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from conftest import TINY, Answer, compose_train, train_run
from textloom.config import TrainerConfig
from textloom.config.lightning import REFUSED, WITHOUT_EFFECT, LightningArguments
from textloom.errors import ConfigError
from textloom.runs.run import Run
from textloom.training.module import TrainingModule
from training.test_resume import curves

ACCEPTED = {
    "max_time": "00:01:00:00",
    "min_epochs": "1",
    "min_steps": "2",
    "limit_train_batches": "3",
    "check_val_every_n_epoch": "2",
    "gradient_clip_algorithm": "value",
    "enable_model_summary": "true",
    "benchmark": "true",
    "detect_anomaly": "true",
}


def test_no_argument_of_the_trainer_is_forgotten() -> None:
    trainer = set(inspect.signature(pl.Trainer).parameters)
    own = set(TrainerConfig.model_fields) - {"max_time"}
    assert trainer - own == set(LightningArguments.model_fields) | set(REFUSED) | set(WITHOUT_EFFECT)
    assert set(ACCEPTED) == set(LightningArguments.model_fields)


def test_what_is_accepted_trains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    given = [f"+trainer.extra.{key}={value}" for key, value in ACCEPTED.items()]
    run = train_run(tmp_path / "run", *given, "trainer.max_epochs=3")
    assert run.results()["steps"] == 9
    assert run.config().trainer.time_limit == 3600
    assert "RecurrentLanguageModel | 4.9 K" in caplog.text  # the summary


@pytest.mark.parametrize("value", ["{nonsense: 1}", "{min_epochs: 1, nonsense: 1}"])
def test_an_unknown_argument_in_a_mapping_is_named(value: str, command: Callable[..., Answer]) -> None:
    status, _, said = command("train", *TINY, f"trainer.extra={value}")
    assert status == 2
    assert said.startswith("trainer.extra.nonsense: not an argument of Lightning's Trainer")
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("key", [*REFUSED, *WITHOUT_EFFECT])
def test_what_is_refused_says_what_to_set(key: str, command: Callable[..., Answer]) -> None:
    status, _, said = command("train", *TINY, f"trainer.extra.{key}=1")
    assert status == 2
    assert said.startswith(f"trainer.extra.{key}")
    assert len(said.strip().splitlines()) == 1
    assert "set " in said or "leave it out" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("limit_train_batches=abc", "trainer.extra.limit_train_batches=abc: must be a valid number"),
        ("limit_train_batches=0", "trainer.extra.limit_train_batches=0: must be greater than 0"),
        ("limit_train_batches=1.5", "trainer.extra.limit_train_batches=1.5: must be less than or equal to 1"),
        ("limit_train_batches=true", "trainer.extra.limit_train_batches=True: must be a valid number"),
        ("check_val_every_n_epoch=0", "trainer.extra.check_val_every_n_epoch=0: must be greater than 0"),
        ("gradient_clip_algorithm=foo", "trainer.extra.gradient_clip_algorithm=foo: must be 'norm' or 'value'"),
        ("max_time=tomorrow", "trainer.extra.max_time=tomorrow: must be a time such as '00:12:00:00'"),
        ("max_time=3600", "trainer.extra.max_time=3600: must be a time such as '00:12:00:00'"),
        ("min_epochs=30", "trainer.extra.min_epochs=30: more than trainer.max_epochs=20; raise trainer.max_epochs"),
        ("detect_anomaly=maybe", "trainer.extra.detect_anomaly=maybe: must be a valid boolean"),
        ("gradient_clip_alogrithm=value", "did you mean gradient_clip_algorithm?"),
        ("precision=32", "trainer.extra.precision is a key of its own; set trainer.precision"),
    ],
)
def test_wrong_values_are_named(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_train("trainer.max_epochs=20", f"+trainer.extra.{given}")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_arguments_that_contradict_other_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_time is given twice"):
        compose_train("+trainer.extra.max_time=01:00:00", "trainer.max_time='02:00:00'")
    with pytest.raises(ConfigError, match=r"set trainer\.gradient_clip_val"):
        compose_train("+trainer.extra.gradient_clip_algorithm=value", "trainer.gradient_clip_val=null")
    with pytest.raises(ConfigError, match="leave one of them out"):
        compose_train("+trainer.extra.check_val_every_n_epoch=2", "trainer.val_check_interval=7")


def validated_epochs(run: Run) -> list[float]:
    steps = [step for step, _ in curves(run)["val/loss"]]
    return [step / 4 for step in steps[:-1]]  # the last is that of the best checkpoint


FOUR_STEPS = ["+trainer.extra.limit_train_batches=4", "+trainer.extra.check_val_every_n_epoch=2"]


def test_validation_after_every_second_epoch_and_after_the_last(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", *FOUR_STEPS, "trainer.max_epochs=5", "trainer.checkpoint_every.steps=1")
    assert validated_epochs(run) == [2, 4, 5]
    assert run.checkpoint_file("best").exists()
    halves = train_run(tmp_path / "halves", *FOUR_STEPS, "trainer.max_epochs=3", "trainer.val_check_interval=0.5")
    assert validated_epochs(halves) == [1.5, 2, 3]


def test_early_stopping_counts_the_validations_that_there_are(tmp_path: Path) -> None:
    worse = ["optimizer.learning_rate=1e-12", "trainer.early_stopping_patience=1", "trainer.max_epochs=20"]
    assert validated_epochs(train_run(tmp_path / "run", *FOUR_STEPS, *worse)) == [2, 4]
    later = [*worse, "+trainer.extra.min_epochs=5"]
    assert validated_epochs(train_run(tmp_path / "epochs", *FOUR_STEPS, *later)) == [2, 4, 6]
    steps = [*worse, "+trainer.extra.min_steps=25"]
    assert validated_epochs(train_run(tmp_path / "steps", *FOUR_STEPS, *steps)) == [2, 4, 6, 8]


def test_gradients_are_clipped_by_value_as_torch_clips_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[float] = []
    original = TrainingModule.configure_gradient_clipping

    def look(module: TrainingModule, *rest: object, **named: object) -> None:
        before = [parameter.grad.clone() for parameter in module.trained if parameter.grad is not None]
        original(module, *rest, **named)  # type: ignore[arg-type]
        largest.append(max(float(gradient.abs().max()) for gradient in before))
        for gradient, parameter in zip(before, module.trained, strict=True):
            assert torch.equal(parameter.grad, gradient.clamp(-0.01, 0.01))  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingModule, "configure_gradient_clipping", look)
    train_run(tmp_path / "run", "trainer.gradient_clip_val=0.01", "+trainer.extra.gradient_clip_algorithm=value")
    assert max(largest) > 0.01
