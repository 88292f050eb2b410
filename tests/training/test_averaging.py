"""The running mean of the weights: what it is, and that it never waits for the device."""

import pytest
import pytorch_lightning as pl
import torch

from textloom.training.callbacks.averaging import RunningMean


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
    """A mean of fixed decay 0.998 would still be nearly half of what came first."""
    assert means_of([100.0] + [1.0] * 300, 0.998)[-1] < 1.01


def test_the_count_of_steps_stays_on_the_cpu() -> None:
    """Fails if Lightning keeps it elsewhere: reading it on a GPU makes every step wait."""
    module, callback = Line().to("meta"), RunningMean(0.9)
    callback.setup(pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False), module, "fit")
    assert callback._average_model is not None
    assert callback._average_model.n_averaged.device.type == "cpu"
