"""Models: the equations are those that the docs name, whatever way they are computed."""

from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import model_config
from textloom.models import dropout
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count

Cell = Literal["lstm", "gru", "rnn"]
CELLS: tuple[Cell, ...] = ("lstm", "gru", "rnn")
VOCABULARY = 23


def build(
    cell: Cell = "lstm", layers: int = 2, embedding_dim: int | None = 5, **keys: object
) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    values = {
        "cell": cell, "units": 7, "layers": layers, "embedding_dim": embedding_dim, "tied_weights": False,
        "input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0, **keys,
    }  # fmt: skip
    return RecurrentLanguageModel(model_config(values), VOCABULARY)


def ids(batch: int = 3, time: int = 11) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("embedding_dim", [5, None])
def test_state_carried_equals_one_long_pass(cell: Cell, embedding_dim: int | None) -> None:
    model, inputs = build(cell, embedding_dim=embedding_dim), ids()
    whole, last = model(inputs)
    first, state = model(inputs[:, :4])
    second, state = model(inputs[:, 4:], state)
    assert torch.allclose(torch.cat([first, second], dim=1), whole, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(state, last, strict=True))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("units", [7, 3], ids=["lookup", "index"])
def test_one_hot_input_equals_the_index_form(cell: Cell, units: int) -> None:
    """The reference is torch.nn over one-hot vectors; 23 symbols are a small vocabulary for 7 units, not for 3."""
    model, inputs = build(cell, embedding_dim=None, units=units), ids()
    hidden, state = model(inputs)
    expected, expected_state = getattr(nn, cell.upper()).forward(
        model.recurrence, F.one_hot(inputs, VOCABULARY).float()
    )
    assert torch.allclose(hidden, expected, atol=1e-6)
    for ours, theirs in zip(state, expected_state if cell == "lstm" else (expected_state,), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)

    gradients = torch.autograd.grad(hidden.square().sum(), list(model.recurrence.parameters()))
    references = torch.autograd.grad(expected.square().sum(), list(model.recurrence.parameters()))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients, references, strict=True))


def test_a_large_one_hot_vocabulary_builds_nothing_of_its_size() -> None:
    torch.manual_seed(0)
    config = build(units=3, embedding_dim=None)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        config(ids(batch=64, time=50))
    weights = {parameter.numel() for parameter in config.parameters()}
    assert not [size for size in sizes if size >= 64 * 50 * VOCABULARY and size not in weights]


@pytest.mark.parametrize("cell", CELLS)
def test_changing_a_token_leaves_the_logits_before_it_alone(cell: Cell) -> None:
    for embedding_dim in (5, None):
        model, inputs = build(cell, embedding_dim=embedding_dim), ids()
        changed = inputs.clone()
        changed[:, 6] = (changed[:, 6] + 1) % VOCABULARY
        before, after = (model.logits(model(some)[0]) for some in (inputs, changed))
        assert torch.equal(before[:, :6], after[:, :6])
        assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_the_lstm_starts_with_an_open_forget_gate() -> None:
    model = build(forget_bias=1.5)
    for name, parameter in model.recurrence.named_parameters():
        if name.startswith("bias"):
            gates = parameter.view(4, -1)
            assert gates[1].tolist() == [1.5 if name.startswith("bias_ih") else 0.0] * 7
            assert gates[[0, 2, 3]].abs().sum() == 0


def test_each_gates_recurrent_matrix_starts_orthogonal() -> None:
    for cell in CELLS:
        for gate in build(cell).recurrence.weight_hh_l0.split(7):
            assert torch.allclose(gate @ gate.t(), torch.eye(7), atol=1e-5)


def test_tied_weights_are_one_tensor_and_counted_once() -> None:
    tied, free = build(embedding_dim=7, tied_weights=True), build(embedding_dim=7)
    assert tied.embedding is not None
    assert tied.softmax.weight is tied.embedding.weight
    assert parameter_count(free) - parameter_count(tied) == VOCABULARY * 7


@pytest.mark.parametrize("embedding_dim", [5, 9])
def test_a_projection_ties_an_embedding_of_any_length(embedding_dim: int) -> None:
    model = build(embedding_dim=embedding_dim, tied_weights=True, output_projection=True)
    assert model.embedding is not None
    assert model.projection is not None
    assert model.softmax.weight is model.embedding.weight
    hidden, _ = model.recurrence(model.embedding(ids()), model.initial_state(3))
    torch.testing.assert_close(model(ids())[0], hidden @ model.projection.weight.t())  # (batch, time, embedding_dim)
    free = build(embedding_dim=embedding_dim)
    assert parameter_count(model) == parameter_count(free) - VOCABULARY * 7 + 7 * embedding_dim


def test_the_tutorials_model_has_the_parameters_of_keras_lstm_and_dense() -> None:
    model = build(layers=1, embedding_dim=None)
    # torch.nn keeps two bias vectors where Keras keeps one
    assert parameter_count(model) == 4 * 7 * (VOCABULARY + 7 + 1) + 4 * 7 + 7 * VOCABULARY + VOCABULARY


@pytest.mark.parametrize("which", ["input_dropout", "layer_dropout", "output_dropout"])
def test_each_dropout_acts_in_training_alone(which: str) -> None:
    model, inputs = build(**{which: 0.5}), ids()
    assert not torch.equal(model(inputs)[0], model(inputs)[0])
    model.eval()
    assert torch.equal(model(inputs)[0], model(inputs)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_between_layers_is_that_of_torch_to_the_last_digit_except_for_its_random_numbers(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropout, "draw_mask", lambda like, p: F.dropout(torch.ones_like(like), p))
    recurrence = build(cell, layers=3, layer_dropout=0.5).recurrence.train()
    vectors, state = torch.randn(4, 9, 5), recurrence.initial_state(4)
    torch.manual_seed(1)
    hidden, after = recurrence(vectors, state)
    torch.manual_seed(1)
    expected, expected_after = getattr(nn, cell.upper()).forward(recurrence, vectors)
    assert torch.equal(hidden, expected)
    for ours, theirs in zip(after, expected_after if cell == "lstm" else (expected_after,), strict=True):
        assert torch.equal(ours, theirs)


def test_layer_dropout_acts_in_the_index_form_too() -> None:
    model, inputs = build(embedding_dim=None, units=3, layer_dropout=0.5), ids()
    assert not torch.equal(model(inputs)[0], model(inputs)[0])
    model.eval()
    assert torch.equal(model(inputs)[0], model(inputs)[0])


def test_the_lookup_of_one_hot_rows_is_no_weight() -> None:
    model = build(embedding_dim=None)
    assert not any("one_hot" in name for name in model.state_dict())
    assert isinstance(model.recurrence, nn.LSTM)
