"""The sliced loss is the plain one, value and gradients."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from textloom.training import loss as module
from textloom.training.loss import softmax_cross_entropy


def problem(dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = [(50, 7), (23, 7), (23,)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


TARGETS = torch.randint(23, (50,), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _always_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGITS_FOR_TORCH", {})


def test_few_logits_are_not_worth_slicing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGITS_FOR_TORCH", {"cpu": 50 * 23})
    monkeypatch.setattr(module._SoftmaxCrossEntropy, "apply", lambda *arguments: pytest.fail("slices"))
    hidden, weight, bias = problem()
    ours = softmax_cross_entropy(hidden, weight, bias, TARGETS)
    assert torch.equal(ours, F.cross_entropy(F.linear(hidden, weight, bias), TARGETS))


@pytest.mark.parametrize("rows", [1, 7, 50, 1000])
def test_loss_and_gradients_are_those_of_the_plain_form(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_rows_at_once", lambda *sizes: min(rows, len(TARGETS)))
    hidden, weight, bias = problem()
    ours = softmax_cross_entropy(hidden, weight, bias, TARGETS)
    plain = F.cross_entropy(F.linear(hidden, weight, bias), TARGETS)
    assert torch.allclose(ours, plain)
    gradients = [torch.autograd.grad(3 * loss, (hidden, weight, bias)) for loss in (ours, plain)]
    assert all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_slices_are_alike_and_have_as_many_targets_as_there_are_units_or_fit_the_cache() -> None:
    assert module._rows_at_once("cpu", targets=700, vocabulary_size=33_278, units=200) == 175
    assert module._rows_at_once("cpu", targets=2048, vocabulary_size=50_000, units=512) == 512
    assert module._rows_at_once("cpu", targets=300, vocabulary_size=1_000, units=8) == 300  # the cache holds them all


def test_in_mixed_precision_it_is_as_exact_as_autocast() -> None:
    tensors = problem(torch.float32)
    exact = torch.autograd.grad(softmax_cross_entropy(*tensors, TARGETS), tensors)
    errors = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = softmax_cross_entropy(*tensors, TARGETS)
        plain = F.cross_entropy(F.linear(*tensors).float(), TARGETS)
    for mixed in (ours, plain):
        found = torch.autograd.grad(mixed, tensors)
        errors.append(sum(float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)))
    assert ours.dtype == torch.float32
    assert errors[0] < 1.5 * errors[1]
    assert errors[0] < 0.05


def test_no_matrix_of_all_logits_is_kept() -> None:
    hidden, weight, bias = (t.detach().requires_grad_() for t in problem(torch.float32))
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        softmax_cross_entropy(hidden, weight, bias, TARGETS)
    assert max(kept) < 50 * 23


class _Sizes(TorchDispatchMode):
    """Elements of every tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple) else (result,)
        self.made += [part.numel() for part in parts if isinstance(part, torch.Tensor)]
        return result


def test_no_matrix_of_all_logits_is_ever_made() -> None:
    targets, vocabulary, units = 2000, 9000, 16
    hidden, weight = torch.randn(targets, units, requires_grad=True), torch.randn(vocabulary, units, requires_grad=True)
    bias, wanted = torch.zeros(vocabulary, requires_grad=True), torch.randint(vocabulary, (targets,))
    with _Sizes() as sizes, torch.autocast("cpu", dtype=torch.bfloat16):
        softmax_cross_entropy(hidden, weight, bias, wanted).backward()
    assert max(sizes.made) == 125 * vocabulary  # 16 slices
    with _Sizes() as plain:
        F.cross_entropy(F.linear(hidden, weight, bias), wanted).backward()
    assert max(plain.made) == targets * vocabulary


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    hidden = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    weight = torch.tensor([[500.0], [0.0], [-500.0]], requires_grad=True)
    bias, targets = torch.zeros(3, requires_grad=True), torch.tensor([2, 2])
    assert softmax_cross_entropy(hidden, weight, bias, targets).item() == 500.0  # 1000 nats and none
