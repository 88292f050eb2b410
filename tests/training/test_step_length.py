"""The learning rate of a step follows the length of its batch, and of that step alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import compose_train, train_run
from textloom.batching.batch import Batch
from textloom.batching.batches import training_batches
from textloom.data.encoding import load_splits
from textloom.training.fitting import total_steps
from textloom.training.step_length import StepLength

SMALL = ["batching.steps=20", "batching.random_steps=true", "trainer.batch_size=8", "trainer.weight_averaging=null"]


def batch(relative_length: float) -> Batch:
    none = torch.zeros(1, 1, dtype=torch.long)
    return Batch(none, none[0], None, True, 1, relative_length)


def test_a_step_of_plain_gradient_descent_is_as_long_as_its_batch() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer, lengths = torch.optim.SGD([weight], lr=0.3), StepLength()
    optimizer.register_step_post_hook(lengths.restore)
    weight.grad = torch.ones(1)
    for relative_lengths, moved in (([0.5], 0.15), ([1.0], 0.3), ([1.2, 0.4], 0.24)):
        before = weight.item()
        for length in relative_lengths:
            lengths.add(batch(length))
        lengths.scale(optimizer)
        optimizer.step()
        assert before - weight.item() == pytest.approx(moved)
        assert optimizer.param_groups[0]["lr"] == 0.3


def test_after_a_skipped_step_the_learning_rate_is_its_own_again() -> None:
    optimizer, lengths = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3), StepLength()
    for length in (0.5, 0.7):
        lengths.add(batch(length))
        lengths.scale(optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * 0.7)


@pytest.mark.parametrize("every", [1, 1000], ids=["Lightning's steps", "steps without hooks"])
def test_every_step_of_a_run_has_the_rate_of_its_batch(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    original = torch.optim.SGD.step

    def step(self: torch.optim.SGD, closure: Any = None) -> Any:
        def noted() -> Any:
            loss = None if closure is None else closure()
            rates.append(self.param_groups[0]["lr"])
            return loss

        return original(self, noted)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    run = train_run(
        tmp_path / "run", *SMALL, "optimizer=sgd", "optimizer.learning_rate=0.5", "trainer.max_epochs=2",
        f"trainer.log_every_n_steps={every}",
    )  # fmt: skip
    config = run.config()
    batching = training_batches(config.batching, load_splits(run.tokens)["train"], 8, config.seed)
    expected = [0.5 * one.relative_length for epoch in range(2) for one in batching.batches(epoch)]
    assert rates == expected
    assert len(set(rates)) > 5
    assert run.results()["steps"] == len(expected) == total_steps(config, batching)


def test_the_steps_of_all_epochs_are_counted_one_by_one(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", *SMALL, "trainer.max_epochs=1")
    batching = training_batches(run.config().batching, load_splits(run.tokens)["train"], 8, 0)
    config = compose_train(*SMALL, "trainer.max_epochs=30", "trainer.accumulate_grad_batches=3")
    steps = [-(-batching.batches_in(epoch) // 3) for epoch in range(30)]
    assert len(set(steps)) > 1
    assert total_steps(config, batching) == sum(steps)
    limited = compose_train(*SMALL, "trainer.max_epochs=30", "trainer.max_steps=50")
    assert total_steps(limited, batching) == 50
