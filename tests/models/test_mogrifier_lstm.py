"""Mogrifier LSTM: the paper's equations, dropout of the recurrent state, and what must be refused."""

import pytest
import torch
from torch.nn import functional as F

from conftest import compose_train
from textloom.config import MogrifierLSTMConfig
from textloom.errors import ConfigError
from textloom.models.cells.mogrifier_lstm import MogrifierLayer
from textloom.models.dropout import draw_mask

UNITS, INPUTS, TIME = 6, 5, 9


def layer(**changes: object) -> MogrifierLayer:
    torch.manual_seed(0)
    config = compose_train("model=mogrifier_lstm", f"model.units={UNITS}").model
    assert isinstance(config, MogrifierLSTMConfig)
    found = MogrifierLayer(config.model_copy(update=changes), INPUTS)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return found


def lstm_step(cell: MogrifierLayer, entering: torch.Tensor, hidden: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """torch's own LSTM, (2, batch, units): hidden and cell."""
    weights = [cell.inputs.weight, cell.recurrent.weight, cell.inputs.bias, torch.zeros(4 * UNITS)]
    return torch.stack(torch.lstm_cell(entering, (hidden, memory), *weights))


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("rounds", [1, 2, 5])
@torch.no_grad()
def test_input_and_hidden_state_gate_each_other_in_turns_before_an_lstm_step(rounds: int, rank: int | None) -> None:
    cell = layer(rounds=rounds, rank=rank)
    vectors, state = torch.randn(3, TIME, INPUTS), torch.randn(2, 3, UNITS)
    outputs, after = cell(vectors, tuple(state))
    for time in range(TIME):
        x, h = vectors[:, time], state[0]
        for number, gate in enumerate(cell.all_rounds()):
            matrix = gate.weights.weight if gate.low is None else gate.weights.weight @ gate.low.weight
            if number % 2 == 0:
                x = 2 * torch.sigmoid(F.linear(h, matrix, gate.weights.bias)) * x
            else:
                h = 2 * torch.sigmoid(F.linear(x, matrix, gate.weights.bias)) * h
        state = lstm_step(cell, x, h, state[1])
        torch.testing.assert_close(outputs[:, time], state[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.stack(after), state, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_capped_input_gate_is_at_most_what_the_forget_gate_leaves() -> None:
    cell, plain = layer(capped_input_gate=True), layer()
    vectors, state = 3 * torch.randn(64, 1, INPUTS), (torch.randn(64, UNITS), torch.rand(64, UNITS))
    gates = plain.gate_values(vectors[:, 0], state, state)
    (enter,), (forget,) = gates["input"], gates["forget"]
    capped = torch.minimum(enter, 1 - forget)
    assert 0 < (capped < enter).float().mean() < 1
    torch.testing.assert_close(cell.gate_values(vectors[:, 0], state, state)["input"], [capped])
    _, (_, memory) = plain(vectors, state)
    candidate = (memory - forget * state[1]) / enter
    _, (_, found) = cell(vectors, state)
    torch.testing.assert_close(found, forget * state[1] + capped * candidate, rtol=1e-4, atol=1e-4)


def test_a_rank_makes_the_rounds_small() -> None:
    full, low = (sum(p.numel() for p in layer(rank=rank).rounds.parameters()) for rank in (None, 1))
    assert full == 5 * UNITS * INPUTS + 3 * INPUTS + 2 * UNITS
    assert low == 5 * (UNITS + INPUTS) + 3 * INPUTS + 2 * UNITS


class TestStateDropout:
    def test_one_mask_serves_all_steps_of_a_row_and_the_carried_state_is_the_one_before_it(self) -> None:
        """The first step reads a state of ones and the last the state that the others made, with the same mask."""
        cell, vectors = layer(state_dropout=0.5).train(), torch.randn(4, TIME, INPUTS)
        for gate in cell.all_rounds():  # a plain LSTM, whose equations are short
            torch.nn.init.zeros_(gate.weights.weight)
            torch.nn.init.zeros_(gate.weights.bias)
        torch.manual_seed(1)
        outputs, after = cell(vectors, (torch.ones(4, UNITS), torch.ones(4, UNITS)))
        torch.manual_seed(1)
        mask = draw_mask(torch.ones(4, UNITS), 0.5)
        assert set(mask.unique().tolist()) == {0.0, 2.0}
        state = torch.ones(2, 4, UNITS)
        for time in range(TIME):
            state = lstm_step(cell, vectors[:, time], state[0] * mask, state[1])
            torch.testing.assert_close(outputs[:, time], state[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.stack(after), state, rtol=1e-5, atol=1e-5)

    def test_each_batch_and_each_row_has_a_mask_of_its_own(self) -> None:
        cell, vectors = layer(state_dropout=0.5).train(), torch.randn(1, TIME, INPUTS).expand(2, -1, -1)
        first, second = (cell(vectors, (torch.ones(2, UNITS), torch.ones(2, UNITS)))[0] for _ in range(2))
        assert not torch.allclose(first[0], first[1], atol=1e-3)
        assert not torch.allclose(first, second, atol=1e-3)

    def test_evaluation_has_none(self) -> None:
        cell, vectors = layer(state_dropout=0.5).eval(), torch.randn(2, TIME, INPUTS)
        plain = layer(state_dropout=0.0).train()
        assert torch.equal(cell(vectors, cell.initial_state(2))[0], plain(vectors, plain.initial_state(2))[0])


def test_the_forget_gate_starts_open_and_recurrent_matrices_orthogonal() -> None:
    cell = layer(forget_bias=1.5)
    cell.init_weights("scaled", INPUTS**0.5)
    enter, forget, *others = cell.inputs.bias.chunk(4)
    assert forget.tolist() == [1.5] * UNITS
    assert torch.cat([enter, *others]).abs().sum() == 0
    for gate in cell.recurrent.weight.split(UNITS):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(UNITS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mistake", ["rounds=0", "rounds=101", "rank=0", "state_dropout=1.5"])
def test_a_value_out_of_range_is_one_line(mistake: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.{mistake}: must be (greater|less) than") as caught:
        compose_train("model=mogrifier_lstm", f"model.{mistake}")
    assert "\n" not in str(caught.value)
