"""The scan: the recurrence step by step, and its gradients."""

from collections.abc import Callable

import pytest
import torch

from textloom.models.scan import scan, scan_by_chunks

Way = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
both = pytest.mark.parametrize("way", [scan, scan_by_chunks])


def by_steps(keep: torch.Tensor, add: torch.Tensor, initial: torch.Tensor) -> torch.Tensor:
    hidden, outputs = initial, []
    for share, addend in zip(keep.unbind(1), add.unbind(1), strict=True):
        hidden = share * hidden + addend
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("time", [1, 2, 3, 8, 37])
def test_it_gives_the_hidden_states_and_gradients_of_the_recurrence(time: int) -> None:
    torch.manual_seed(0)
    inputs = [torch.rand(2, time, 3), torch.rand(2, time, 3), torch.rand(2, 3)]
    for tensor in inputs:
        tensor.requires_grad_()
    ours, expected = scan(*inputs), by_steps(*inputs)
    assert torch.allclose(ours, expected, atol=1e-6)
    weights = torch.randn_like(expected)
    gradients, references = (torch.autograd.grad((out * weights).sum(), inputs) for out in (ours, expected))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients, references, strict=True))


@pytest.mark.parametrize("time", [1, 2, 3, 8, 37, 400])
def test_chunks_give_the_hidden_states_of_the_recurrence(time: int) -> None:
    torch.manual_seed(0)
    inputs = torch.rand(2, time, 3), torch.rand(2, time, 3), torch.rand(2, 3)
    torch.testing.assert_close(scan_by_chunks(*inputs), by_steps(*inputs), rtol=1e-5, atol=1e-6)


@both
def test_gates_that_open_and_close_fully_cost_no_accuracy(way: Way) -> None:
    torch.manual_seed(0)
    share = torch.sigmoid(20 * torch.randn(2, 300, 4, dtype=torch.float64))
    candidates, initial = torch.rand(2, 300, 4).double(), torch.rand(2, 4).double()
    exact = by_steps(1 - share, share * candidates, initial)
    found = way((1 - share).float(), (share * candidates).float(), initial.float())
    assert torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-6)


@both
def test_its_arguments_are_not_changed(way: Way) -> None:
    arguments = [torch.rand(2, 5, 3), torch.rand(2, 5, 3), torch.rand(2, 3)]
    before = [argument.clone() for argument in arguments]
    way(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))
