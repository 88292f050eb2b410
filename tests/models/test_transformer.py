"""The Transformer: sliding-window attention by its definition, rotations at any position, a cache of fixed size."""

import math

import pytest
import torch
from torch.nn import functional as F

from conftest import compose_train
from textloom.config import TransformerConfig
from textloom.errors import ConfigError
from textloom.models.cells.transformer import LONGEST_WAVELENGTH, TURN, Block, Transformer
from textloom.training.callbacks.efficiency import flops_per_target

UNITS, INPUTS, HEADS, CONTEXT, LAYERS, TIME = 12, 5, 2, 4, 2, 15


def config(**changes: object) -> TransformerConfig:
    found = compose_train("model=transformer").model
    assert isinstance(found, TransformerConfig)
    sizes = {"units": UNITS, "heads": HEADS, "context": CONTEXT, "layers": LAYERS}
    return found.model_copy(update={**sizes, **changes})


def build(**changes: object) -> Transformer:
    torch.manual_seed(0)
    cell = Transformer(config(**changes), INPUTS)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return cell.eval()


def turned(vectors: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """(time, heads, size) as complex numbers, each turned by its position times its frequency."""
    pairs = torch.complex(*vectors.double().chunk(2, dim=2))
    return pairs * torch.exp(1j * torch.arange(len(vectors))[:, None, None] * frequencies)


def attended(block: Block, hidden: torch.Tensor) -> torch.Tensor:
    """Attention of one text, (time, units), token by token."""
    normalized = F.layer_norm(hidden, [UNITS], block.attention_norm.weight, block.attention_norm.bias)
    queries, keys, values = (
        part.view(len(hidden), HEADS, -1) for part in block.queries_keys_values(normalized).chunk(3, dim=1)
    )
    size = values.shape[2]
    frequencies = LONGEST_WAVELENGTH ** -(torch.arange(0, size, 2) / size).double()
    frequencies = (frequencies * TURN / (2 * math.pi)).round() * (2 * math.pi / TURN)
    queries, keys = turned(queries, frequencies), turned(keys, frequencies)
    found = torch.zeros_like(values)
    for time in range(len(hidden)):
        window = slice(max(0, time + 1 - CONTEXT), time + 1)
        scores = (queries[time] * keys[window].conj()).real.sum(dim=2) / size**0.5  # (window, heads)
        found[time] = (scores.softmax(dim=0).float()[..., None] * values[window]).sum(dim=0)
    return block.attended(found.flatten(1))


@torch.no_grad()
def test_a_block_is_attention_over_a_sliding_window_and_a_feed_forward_network() -> None:
    cell, vectors = build(), torch.randn(1, TIME, INPUTS)
    hidden = vectors[0] @ cell.inputs.weight.t()
    for block in cell.all_blocks():
        hidden = hidden + attended(block, hidden)
        normalized = F.layer_norm(hidden, [UNITS], block.feed_forward_norm.weight, block.feed_forward_norm.bias)
        hidden = hidden + F.gelu(normalized @ block.inner.weight.t()) @ block.outer.weight.t()
    expected = F.layer_norm(hidden, [UNITS], cell.norm.weight, cell.norm.bias)
    torch.testing.assert_close(cell(vectors, cell.initial_state(1))[0][0], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_information_travels_a_window_in_each_layer_and_no_further() -> None:
    cell, vectors = build(), torch.randn(1, TIME, INPUTS)
    before, changed = (cell(some, cell.initial_state(1))[0][0] for some in (vectors, vectors + _at_the_beginning()))
    reached = [not torch.allclose(a, b, atol=1e-6) for a, b in zip(before, changed, strict=True)]
    assert reached == [time <= LAYERS * (CONTEXT - 1) for time in range(TIME)]


def _at_the_beginning() -> torch.Tensor:
    return torch.eye(TIME)[:1].t() * torch.ones(1, TIME, INPUTS)


@torch.no_grad()
def test_the_state_has_one_size_and_holds_the_last_tokens() -> None:
    cell, vectors = build(), torch.randn(3, TIME, INPUTS)
    state = cell.initial_state(3)
    shapes = [part.shape for part in state]
    assert shapes == [(3, LAYERS, CONTEXT - 1, UNITS)] * 2 + [(3,)]
    for time in range(TIME):
        _, state = cell(vectors[:, time : time + 1], state)
        assert [part.shape for part in state] == shapes
    assert state[2].tolist() == [TIME] * 3
    _, other = cell(vectors[:, -CONTEXT + 1 :], cell.initial_state(3))
    torch.testing.assert_close(other[1][:, 0], state[1][:, 0])  # the lowest layer's values


def test_a_rotation_depends_on_the_distance_alone_however_long_the_text() -> None:
    cell = build()
    near, far = (cell._rotation(3, torch.tensor([read])).double() for read in (7, 10**12 + 7))
    for one in (near, far):
        first, last = (torch.complex(*one[:, 0, time, 0]) for time in (0, 2))
        one[0, 0, 0, 0] = (last * first.conj()).angle()
    torch.testing.assert_close(near[0, 0, 0, 0], far[0, 0, 0, 0], rtol=0, atol=1e-6)
    assert near[0, 0, 0, 0, 0] == pytest.approx(2.0, abs=1e-5)  # radians: the fastest pair turns by one each token


@torch.no_grad()
def test_rows_that_have_read_different_numbers_of_tokens_do_not_see_empty_places() -> None:
    cell, vectors = build(), torch.randn(1, TIME, INPUTS)
    _, one = cell(vectors[:, :1], cell.initial_state(1))
    _, many = cell(vectors[:, :9], cell.initial_state(1))
    together, _ = cell(
        vectors[:, 9:].expand(2, -1, -1), tuple(torch.cat(parts) for parts in zip(one, many, strict=True))
    )
    for row, state in enumerate((one, many)):
        torch.testing.assert_close(cell(vectors[:, 9:], state)[0][0], together[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("units", "heads"), [(7, 3), (1, 4), (10, 1)])
def test_any_number_of_units_and_heads_goes_together(units: int, heads: int) -> None:
    cell = build(units=units, heads=heads)
    assert cell.head_size % 2 == 0
    assert cell.head_size * heads >= units
    hidden, _ = cell(torch.randn(2, TIME, INPUTS), cell.initial_state(2))
    assert hidden.shape == (2, TIME, units)
    assert hidden.isfinite().all()


def test_dropout_in_blocks_acts_in_training_alone() -> None:
    cell, vectors = build(block_dropout=0.5), torch.randn(2, TIME, INPUTS)
    state = cell.initial_state(2)
    assert torch.equal(cell(vectors, state)[0], cell(vectors, state)[0])
    cell.train()
    assert not torch.allclose(cell(vectors, state)[0], cell(vectors, state)[0], atol=1e-2)


@torch.no_grad()
def test_initial_weights_give_a_residual_stream_of_unit_variance() -> None:
    cell = Transformer(config(units=64, layers=8), INPUTS)
    cell.init_weights("scaled", INPUTS**0.5)
    streams: list[torch.Tensor] = []
    cell.norm.register_forward_pre_hook(lambda module, given: streams.append(given[0]))
    cell(torch.randn(8, TIME, INPUTS), cell.initial_state(8))
    assert 0.7 < streams[0].std() < 2


def test_its_flops_include_attention() -> None:
    matrices = UNITS * 64 + LAYERS * (4 * UNITS * UNITS + 8 * UNITS * UNITS)
    attention = LAYERS * 2 * CONTEXT * UNITS
    assert flops_per_target(config(), 11, 1.0) == 6 * (matrices + attention + 11 * UNITS)


@pytest.mark.parametrize("mistake", ["context=1", "heads=0", "block_dropout=-1"])
def test_a_value_out_of_range_is_one_line(mistake: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.{mistake}: must be greater than") as caught:
        compose_train("model=transformer", f"model.{mistake}")
    assert "\n" not in str(caught.value)
