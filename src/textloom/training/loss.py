"""Softmax and cross-entropy in one step; a dense softmax is computed for a few targets at a time.

For a large vocabulary the (targets, vocabulary) matrix of logits is most of the memory of a training step. Here only a
slice of it exists at any time, at most as large as the weights or a cache, and its gradient is computed at once: the
forward pass stores the gradients, the backward pass scales them. The idea is that of Wijmans et al. (2024), "Cut your
losses in large-vocabulary language models", arXiv 2411.09009, without a kernel of our own.
"""

from math import ceil
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LOGITS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 26}  # 4 MB of float32 stay in a CPU's cache; a GPU wants large products
# Up to so many logits torch's own functions are faster: on a CPU if they fit into a cache (1 MB), by a third; on a GPU
# (H200) a training step takes 0.76 to 0.92 of the time, measured up to 2,048 targets and 50,000 words.
LOGITS_FOR_TORCH = {"cpu": 1 << 18, "cuda": 1 << 27}
FEWEST_TARGETS_AT_ONCE = 128  # each slice adds to the whole gradient of the weights, however few it has


def mean_nats(
    softmax: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss, hidden: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean of -log probability of the targets, (targets,), after the hidden states, (targets, units)."""
    if isinstance(softmax, nn.AdaptiveLogSoftmaxWithLoss):
        with torch.autocast(hidden.device.type, enabled=False):  # torch's own does not run under it
            loss: torch.Tensor = softmax(hidden.float(), targets).loss
            return loss
    return softmax_cross_entropy(hidden, softmax.weight, softmax.bias, targets)


def softmax_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean of -log softmax(hidden @ weight.T + bias)[target] over the targets, in nats.

    ``hidden`` (targets, units), ``weight`` (vocabulary, units), ``bias`` (vocabulary,), ``targets`` (targets,) int64.
    Products are taken in autocast's number format where it is on, sums in float32.
    """
    kind = hidden.device.type
    if len(targets) * len(weight) <= LOGITS_FOR_TORCH.get(kind, 0):
        return F.cross_entropy(F.linear(hidden, weight, bias), targets)
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    loss: torch.Tensor = _SoftmaxCrossEntropy.apply(hidden, weight, bias, targets, dtype)  # type: ignore[no-untyped-call]
    return loss


class _SoftmaxCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            states, matrix = hidden.to(dtype), weight.to(dtype)
            shares = (hidden / len(targets)).to(dtype)  # the mean's factor, where it costs least
            rows = _rows_at_once(hidden.device.type, len(targets), *weight.shape)
            scores = torch.empty(rows, len(weight), device=hidden.device, dtype=weight.dtype)
            products = scores if dtype == weight.dtype else torch.empty_like(scores, dtype=dtype)
            hidden_gradient, weight_gradient = torch.empty_like(states), torch.empty_like(weight)
            bias_gradient, nats = torch.zeros_like(bias), torch.zeros((), device=hidden.device, dtype=weight.dtype)
            for first in range(0, len(targets), rows):
                part = slice(first, first + rows)
                nats += _probabilities_less_targets(states[part], matrix, bias, targets[part], scores, products)
                some, gradient = scores[: len(states[part])], products[: len(states[part])]  # (rows, vocabulary)
                bias_gradient += some.sum(dim=0)
                if gradient is not some:
                    gradient.copy_(some)
                torch.mm(gradient, matrix, out=hidden_gradient[part])
                _add_product(weight_gradient, gradient.t(), shares[part], first == 0)
            ctx.save_for_backward(hidden_gradient / len(targets), weight_gradient, bias_gradient / len(targets))
        ctx.hidden_dtype = hidden.dtype
        return nats / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        if upstream.device.type != "cpu" or upstream != 1:  # a pass over the weights that is rarely needed
            hidden, weight, bias = hidden * upstream, weight * upstream, bias * upstream
        return hidden.to(ctx.hidden_dtype), weight, bias, None, None


def _rows_at_once(device: str, targets: int, vocabulary_size: int, units: int) -> int:
    """Number of targets in each slice: as many as units, so that a slice has as many logits as there are weights."""
    most = max(FEWEST_TARGETS_AT_ONCE, units, LOGITS_AT_ONCE.get(device, 1 << 24) // vocabulary_size)
    return ceil(targets / ceil(targets / most))


def _probabilities_less_targets(
    states: torch.Tensor,
    matrix: torch.Tensor,
    bias: torch.Tensor,
    targets: torch.Tensor,
    scores: torch.Tensor,
    products: torch.Tensor,
) -> torch.Tensor:
    """Leave in ``scores`` the gradient of the summed loss: probabilities, less one at the target; return that loss.

    ``products`` is ``scores`` itself, or a buffer of the same shape in the number format of the product.
    """
    scores, products, wanted = scores[: len(states)], products[: len(states)], targets[:, None]  # (rows, 1)
    torch.mm(states, matrix.t(), out=products)
    if products.dtype != scores.dtype:
        scores.copy_(products)
    highest = scores.add_(bias).amax(dim=1)  # (rows,)
    right = scores.gather(1, wanted).squeeze(1)
    torch.softmax(scores, dim=1, out=scores)
    # the probability of the likeliest token gives the normalizer exactly, in half the time of a logsumexp
    nats = (highest - scores.amax(dim=1).log() - right).sum()
    scores.scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=scores.dtype))
    return nats


def _add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor, first: bool) -> None:
    """total += a @ b, or total = a @ b at first; the sum is in float32 also where the products are not."""
    if total.dtype != a.dtype:
        total.copy_(a @ b) if first else total.add_(a @ b)
    elif first:
        torch.mm(a, b, out=total)
    else:
        total.addmm_(a, b)
