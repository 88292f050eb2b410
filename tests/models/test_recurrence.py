"""The recurrence of minGRU and minLSTM by steps and by scan."""

from collections.abc import Callable
from functools import cache

import pytest
import torch

from conftest import compose_train
from textloom.config import ModelConfig
from textloom.models import recurrence
from textloom.models.building import build_cell
from textloom.models.recurrence import by_scan, by_steps
from textloom.models.scanned import ScannedCell
from textloom.models.stacked import Stacked

ROWS, UNITS = 2, 3
every_cell = pytest.mark.parametrize("cell", ["mingru", "minlstm"])
both_ways = pytest.mark.parametrize("way", [by_steps, by_scan])
Way = Callable[[torch.Tensor, torch.Tensor, ScannedCell], torch.Tensor]


@cache
def layer(cell: str) -> ScannedCell:
    torch.manual_seed(0)
    config = compose_train(f"model={cell}", f"model.units={UNITS}").model
    assert isinstance(config, ModelConfig)
    stack = build_cell(config, 5)
    assert isinstance(stack, Stacked)
    (only,) = stack.layers
    assert isinstance(only, ScannedCell)
    return only


def products_and_initial(cell: str, time: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    parts = len(layer(cell).gate_names) + 1
    products = 3 * torch.randn(ROWS, time, parts * UNITS, dtype=dtype)
    return products.requires_grad_(), torch.rand(ROWS, UNITS, dtype=dtype, requires_grad=True)


@pytest.fixture(params=[1, 5], ids=["blocks of a step", "blocks of five steps"], autouse=True)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "BLOCK", request.param * ROWS * UNITS)


@pytest.fixture(params=[0, ROWS * UNITS], ids=["by steps", "by chunks"], autouse=True)
def _chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "LARGEST_CHUNKED", request.param)


@both_ways
@every_cell
def test_gradients_are_the_derivatives(cell: str, way: Way) -> None:
    assert torch.autograd.gradcheck(lambda *tensors: way(*tensors, layer(cell)), products_and_initial(cell, time=6))


@every_cell
@pytest.mark.parametrize("time", [2, 4, 9])
def test_both_ways_agree(cell: str, time: int) -> None:
    given = products_and_initial(cell, time, torch.float32)
    outputs = [way(*given, layer(cell)) for way in (by_steps, by_scan)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-6)
    weights = torch.randn_like(outputs[0])
    gradients = [torch.autograd.grad((one * weights).sum(), given) for one in outputs]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)


@every_cell
def test_candidates_at_zero_have_the_same_gradient_in_both_ways(cell: str) -> None:
    products = torch.zeros(ROWS, 5, (len(layer(cell).gate_names) + 1) * UNITS, requires_grad=True)
    initial = torch.rand(ROWS, UNITS)
    found = [torch.autograd.grad(way(products, initial, layer(cell)).sum(), products) for way in (by_steps, by_scan)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


@both_ways
@every_cell
def test_products_in_bf16_have_gradients_in_bf16_and_a_state_in_float32(cell: str, way: Way) -> None:
    products, initial = (one.detach().float() for one in products_and_initial(cell, time=6))
    rounded = products.bfloat16().requires_grad_()
    outputs, exact = way(rounded, initial, layer(cell)), rounded.detach().float().requires_grad_()
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, way(exact, initial, layer(cell)), rtol=0, atol=1e-6)
    (found,), (expected,) = (
        torch.autograd.grad(way(one, initial, layer(cell)).square().sum(), one) for one in (rounded, exact)
    )
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-6)


@both_ways
@every_cell
def test_there_is_no_second_derivative(cell: str, way: Way) -> None:
    products, initial = products_and_initial(cell, time=6)
    outputs = way(products, initial, layer(cell))
    (first,) = torch.autograd.grad(outputs.square().sum(), products, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("way", [by_steps, by_scan])
def test_gates_of_minlstm_that_underflow_together_keep_the_state(way: Way) -> None:
    cell, initial = layer("minlstm"), torch.rand(ROWS, UNITS)
    products = torch.full((ROWS, 4, 3 * UNITS), -200.0, requires_grad=True)
    outputs = way(products, initial, cell)
    torch.testing.assert_close(outputs, initial[:, None].expand_as(outputs))
    (gradient,) = torch.autograd.grad(outputs.sum(), products)
    assert gradient.isfinite().all()


@every_cell
def test_one_step_equals_a_sequence_of_one(cell: str) -> None:
    module, vectors = layer(cell), torch.randn(ROWS, 1, 5)
    state = (torch.rand(ROWS, UNITS),)
    outputs, (after,) = module(vectors, state)
    torch.testing.assert_close(outputs, by_steps(module.inputs(vectors), state[0], module))
    torch.testing.assert_close(after, outputs[:, 0])
