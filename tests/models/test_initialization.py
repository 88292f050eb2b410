"""Initial weights: every layer starts with inputs of the same size, whatever lies below it."""

import pytest
import torch

from conftest import model_config
from textloom.models.recurrent import RecurrentLanguageModel

VOCABULARY, UNITS = 500, 128


def build(**keys: object) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    values = {
        "cell": "lstm", "units": UNITS, "layers": 3, "embedding_dim": 64, "tied_weights": False,
        "embedding_range": None, "initialization": "scaled",
        "input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0, **keys,
    }  # fmt: skip
    return RecurrentLanguageModel(model_config(values), VOCABULARY)


@torch.no_grad()
def gate_inputs(model: RecurrentLanguageModel) -> list[float]:
    """Standard deviation of what the input weights of each layer contribute to its gates, at the start."""
    tokens = torch.randint(VOCABULARY, (16, 32), generator=torch.Generator().manual_seed(1))
    if model.embedding is not None:
        vectors = model.embedding(tokens)
    else:
        vectors = torch.nn.functional.one_hot(tokens, VOCABULARY).float()
    recurrence, deviations = model.recurrence, []
    for layer in range(recurrence.num_layers):
        deviations.append(float((vectors @ getattr(recurrence, f"weight_ih_l{layer}").t()).std()))
        single = getattr(torch.nn, type(recurrence).__name__)(vectors.shape[-1], UNITS, batch_first=True)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(single, f"{name}_l0").data = getattr(recurrence, f"{name}_l{layer}").data
        vectors = single(vectors)[0]
    return deviations


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "inputs", [{}, {"embedding_dim": None}, {"embedding_range": 0.1}, {"tied_weights": True, "embedding_dim": UNITS}]
)
def test_gates_of_every_layer_start_with_inputs_of_about_unit_variance(cell: str, inputs: dict[str, object]) -> None:
    deviations = gate_inputs(build(cell=cell, **inputs))
    assert deviations[0] == pytest.approx(1.0, rel=0.1)
    assert deviations[1:] == pytest.approx([1.0, 1.0], rel=0.3)


def test_with_keras_initialization_upper_layers_start_far_smaller() -> None:
    """The reason for the other kind: the second layer's gates hardly see the text."""
    first, second, third = gate_inputs(build(initialization="keras", embedding_range=0.1))
    assert max(first, second, third) < 0.15


def test_every_weight_is_drawn_from_the_seed() -> None:
    one, other = build(), build()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
