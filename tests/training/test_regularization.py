"""AR and TAR (Merity, McCann and Socher 2017): the means of the paper, without padding, and only in the gradient."""

from pathlib import Path

import pytest
import torch

from conftest import compose_train, train_run
from textloom.batching.batch import Batch
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule
from textloom.training.regularization import ActivationPenalty, mean_squared_change


def batch(rows: int, time: int, positions: list[int] | None = None) -> Batch:
    targets = rows * time if positions is None else len(positions)
    return Batch(
        torch.zeros(rows, time, dtype=torch.long),
        torch.zeros(targets, dtype=torch.long),
        None if positions is None else torch.tensor(positions),
        True,
        targets,
    )


HIDDEN = torch.tensor([[[1.0, 2.0], [3.0, 2.0], [3.0, 5.0]]])  # one row, three steps, two units


def test_ar_is_the_mean_square_of_the_dropped_outputs() -> None:
    dropped = torch.tensor([[2.0, 0.0], [0.0, 4.0], [6.0, 10.0]])
    penalty = ActivationPenalty(activation=2.0).of(batch(1, 3), HIDDEN, dropped)
    assert penalty.item() == pytest.approx(2 * (4 + 16 + 36 + 100) / 6)


def test_tar_is_the_mean_squared_change_of_the_outputs_before_dropout() -> None:
    penalty = ActivationPenalty(temporal=3.0).of(batch(1, 3), HIDDEN, torch.zeros(3, 2))
    assert penalty.item() == pytest.approx(3 * (4 + 0 + 0 + 9) / 4)


def test_both_add_up() -> None:
    both = ActivationPenalty(1.0, 1.0).of(batch(1, 3), HIDDEN, HIDDEN[0])
    assert both.item() == pytest.approx((1 + 4 + 9 + 4 + 9 + 25) / 6 + 13 / 4)


def test_changes_to_padding_do_not_count() -> None:
    """Two rows, of three and of two tokens; with the last position alone a window is meant."""
    hidden = torch.cat([HIDDEN, torch.tensor([[[0.0, 1.0], [2.0, 1.0], [99.0, 99.0]]])])
    expected = pytest.approx((13 + 4) / 6)
    assert mean_squared_change(batch(2, 3, positions=[0, 1, 2, 3, 4]), hidden).item() == expected
    assert mean_squared_change(batch(2, 3, positions=[2, 4]), hidden).item() == expected


def test_one_step_has_no_change() -> None:
    assert mean_squared_change(batch(2, 1), torch.randn(2, 1, 3)).item() == 0
    assert mean_squared_change(batch(2, 1, positions=[0]), torch.randn(2, 1, 3)).item() == 0


def test_the_training_step_returns_the_penalized_loss_and_shows_the_nats() -> None:
    config = compose_train("model.units=8", "model.output_dropout=0")
    assert not config.model.is_ngram
    torch.manual_seed(0)
    model = RecurrentLanguageModel(config.model, vocabulary_size=11)
    returned, shown = [], []
    for penalty in (ActivationPenalty(), ActivationPenalty(2.0, 1.0)):
        meter = Meter(largest_loss=100.0)
        module = TrainingModule(
            model, config.optimizer, config.schedule, 10, None, meter, penalty=penalty  # type: ignore[arg-type]
        )  # fmt: skip
        returned.append(module.training_step(batch(3, 5), 0).item())
        reading = meter.read(0.1)
        assert reading is not None
        shown.append(reading.loss)
    hidden, _ = model(batch(3, 5).inputs)
    penalty_of_both = 2 * hidden.square().mean() + (hidden[:, 1:] - hidden[:, :-1]).square().mean()
    assert shown[0] == shown[1] == returned[0]
    assert returned[1] == pytest.approx(returned[0] + penalty_of_both.item())


@pytest.mark.parametrize("batching", ["stream", "windows"])
def test_a_heavy_penalty_leaves_little_to_predict_with(batching: str, tmp_path: Path) -> None:
    small = [f"batching={batching}", "trainer.max_steps=20", "trainer.weight_averaging=null"]
    keys = ["trainer.activation_regularization=100", "trainer.temporal_activation_regularization=100"]
    results = [
        train_run(tmp_path / str(number), *small, *more).results()["val/loss"] for number, more in enumerate([[], keys])
    ]
    assert results[1] > results[0]
