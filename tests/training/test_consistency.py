"""Consistency regularization: the loss and gradients of the plain form, on rows that are read twice."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import compose_train, train_run
from textloom.batching.batch import Batch
from textloom.errors import ConfigError
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.checkpoints import load_model
from textloom.training import loss as module
from textloom.training.consistency import twice
from textloom.training.objective import Objective

WORDS, UNITS, TARGETS = 23, 7, 50


def divergence(scores: torch.Tensor) -> torch.Tensor:
    """Mean of (KL(P || Q) + KL(Q || P)) / 2, by its definition, of two passes one after the other."""
    log_p, log_q = F.log_softmax(scores, dim=1).chunk(2)
    forward = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return (forward + F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)) / 2


@pytest.mark.parametrize("rows", [2, 15, 1000])
def test_loss_and_gradients_are_those_of_the_definition(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_rows_at_once", lambda *sizes: min(rows, 2 * TARGETS))
    torch.manual_seed(0)
    softmax = nn.Linear(UNITS, WORDS, dtype=torch.float64)
    hidden = torch.randn(2 * TARGETS, UNITS, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(WORDS, (TARGETS,)).repeat(2)
    ours, nats = Objective(consistency=0.7)(softmax, hidden, targets)
    plain = F.cross_entropy(softmax(hidden), targets) + 0.7 * divergence(softmax(hidden))
    assert torch.allclose(ours, plain)
    assert torch.allclose(nats, F.cross_entropy(softmax(hidden), targets))
    gradients = [torch.autograd.grad(3 * loss, (hidden, *softmax.parameters())) for loss in (ours, plain)]
    assert all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_each_row_is_read_twice_with_its_own_targets() -> None:
    inputs = torch.tensor([[1, 2, 3], [4, 5, 0]])
    batch = Batch(inputs, torch.tensor([2, 3, 9, 5, 8]), torch.tensor([0, 1, 2, 3, 4]), True, 5)
    both = twice(batch)
    hidden = both.states_with_targets(both.inputs[:, :, None])
    assert hidden.squeeze(1).tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    assert both.targets.tolist() == 2 * batch.targets.tolist()
    full = twice(batch._replace(targets=inputs.flatten(), positions=None))
    assert full.states_with_targets(full.inputs[:, :, None]).squeeze(1).tolist() == full.targets.tolist()


def test_a_large_weight_makes_the_passes_agree(tmp_path: Path) -> None:
    """The predictions of a trained model with its dropout masks differ less from each other."""
    keys = ["batching=stream", "model.units=32", "model.output_dropout=0.5", "trainer.max_epochs=6"]
    divergences = []
    for weight in (0.0, 4.0):
        run = train_run(tmp_path / str(weight), *keys, f"trainer.consistency_regularization={weight}")
        model = load_model(run, "last")[2]
        assert isinstance(model, RecurrentLanguageModel)
        torch.manual_seed(0)
        model.train()
        hidden, _ = model(torch.randint(20, (8, 30)).repeat(2, 1))
        divergences.append(divergence(model.logits(hidden).flatten(0, 1)).item())
    assert 0 < divergences[1] < divergences[0] / 2


def test_a_model_without_dropout_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"consistency_regularization compares two passes.*set model.output_dropout"):
        compose_train("trainer.consistency_regularization=1", "model.output_dropout=0", "model.locked_dropout=true")
    with pytest.raises(ConfigError, match="compares two passes"):  # one mask of the weights for all rows
        compose_train("trainer.consistency_regularization=1", "model=awd_lstm", "model.weight_dropout=0.5",
                      "model.input_dropout=0", "model.layer_dropout=0", "model.output_dropout=0")  # fmt: skip


def test_an_adaptive_softmax_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"consistency_regularization=1.0 needs one softmax.*leave one of them out"):
        compose_train("trainer.consistency_regularization=1", "model.softmax_cutoffs=[20]")
