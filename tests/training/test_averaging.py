"""The running mean of the weights: its values, and that it never waits for the device."""

import pytest
import pytorch_lightning as pl
import torch

from textloom.training.callbacks.averaging import RunningMean, TriggeredMean


class Line(pl.LightningModule):
    """Weights that are moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))


def means_of(values: list[float], decay: float) -> list[float]:
    module, callback = Line(), RunningMean(decay)
    callback.setup(pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False), module, "fit")
    found = []
    for value in values:
        module.weight.data.fill_(value)
        callback._average_model.update_parameters(module)
        found.append(callback._average_model.module.weight[0].item())
    return found


@pytest.mark.parametrize("decay", [0.5, 0.998])
def test_the_mean_follows_its_equation_from_the_first_step_on(decay: float) -> None:
    values = [1.0, 2.0, 0.5, 4.0, 3.0]
    expected, mean = [], values[0]
    for n, value in enumerate(values):
        rate = 0.0 if n == 0 else min(decay, (1 + n) / (10 + n))
        mean = rate * mean + (1 - rate) * value
        expected.append(mean)
    assert means_of(values, decay) == pytest.approx(expected)


def test_the_initial_weights_are_forgotten_in_a_short_training() -> None:
    """With a fixed decay of 0.998 the initial weights would still be nearly half of the mean."""
    assert means_of([100.0] + [1.0] * 300, 0.998)[-1] < 1.01


def test_the_count_of_steps_stays_on_the_cpu() -> None:
    """Fails if Lightning keeps it elsewhere: reading it on a GPU makes every step wait."""
    module, callback = Line().to("meta"), RunningMean(0.9)
    callback.setup(pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False), module, "fit")
    assert callback._average_model is not None
    assert callback._average_model.n_averaged.device.type == "cpu"


def validated(nonmonotone: int, losses: list[float]) -> tuple[list[bool], list[float]]:
    """After each validation: whether averaging has begun, and the mean; two steps lie between two validations."""
    module, callback = Line(), TriggeredMean(nonmonotone)
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    callback.setup(trainer, module, "fit")
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    trainer.strategy._optimizers = [optimizer]
    callback.on_train_start(trainer, module)
    begun, means = [], []
    for loss in losses:
        for _ in range(2):
            module.weight.grad = -torch.ones(3)
            optimizer.step()
        callback.on_validation_epoch_start(trainer, module)
        means.append(module.weight[0].item())
        callback.on_validation_epoch_end(trainer, module)
        trainer.callback_metrics["val/loss"] = torch.tensor(loss)
        callback.on_validation_end(trainer, module)
        begun.append(callback.begun)
    assert module.weight[0].item() == 2 * len(losses)  # the training goes on from the weights
    return begun, means


def test_averaging_begins_as_in_the_code_of_its_paper() -> None:
    losses = [5.0, 4.0, 3.0, 3.5, 3.2, 3.1, 2.9, 3.3]
    for nonmonotone in (1, 2, 3, 5):
        logs: list[float] = []  # main.py of awd-lstm-lm
        expected = []
        for loss in losses:
            triggered = len(logs) > nonmonotone and loss > min(logs[:-nonmonotone])
            expected.append(triggered or expected[-1:] == [True])
            logs.append(loss)
        assert validated(nonmonotone, losses)[0] == expected


def test_the_mean_is_arithmetic_and_validates_from_then_on() -> None:
    begun, means = validated(1, [3.0, 2.0, 4.0, 1.0, 1.0])  # the weights are 1, 2, 3 ... after each step
    assert begun == [False, False, True, True, True]
    assert means == [2.0, 4.0, 6.0, (7 + 8) / 2, (7 + 8 + 9 + 10) / 4]
