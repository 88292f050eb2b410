"""Softmax and cross-entropy in one step; a dense softmax is computed for a few targets at a time.

For a large vocabulary the (targets, vocabulary) matrix of logits is most of the memory of a training step. Here only a
slice of it exists at any time, at most as large as the weights or a cache, and its gradient is computed at once: the
forward pass stores the gradients, the backward pass scales them. The idea is that of Wijmans et al. (2024), "Cut your
losses in large-vocabulary language models", arXiv 2411.09009, without a kernel of our own. What sampled softmax and
consistency regularization need is computed on the same slices.
"""

from dataclasses import dataclass
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
IMPOSSIBLE = -1e30  # a score with a probability of zero; a difference of two is a number, unlike that of infinities
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
    if len(targets) * len(weight) <= LOGITS_FOR_TORCH.get(hidden.device.type, 0):
        return F.cross_entropy(F.linear(hidden, weight, bias), targets)
    return softmax_nats(hidden, weight, bias, targets)[0]


def softmax_nats(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    targets: torch.Tensor,
    *,
    shared: int | None = None,
    consistency: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``softmax_cross_entropy``, in slices, and -log probability of each target, (targets,), which has no gradient.

    If only the first ``shared`` words can follow everywhere, each of the others has a probability where it is the
    target, and nowhere else.

    With ``consistency`` the first half of the hidden states and the second are those of two passes over the same
    targets, and the loss has that many times their divergence, (KL(P || Q) + KL(Q || P)) / 2, as another term.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    settings = _Settings(dtype, len(weight) if shared is None else shared, consistency)
    both: tuple[torch.Tensor, torch.Tensor] = _SoftmaxCrossEntropy.apply(hidden, weight, bias, targets, settings)  # type: ignore[no-untyped-call]
    return both


@dataclass(frozen=True)
class _Settings:
    """The settings of ``softmax_nats``."""

    dtype: torch.dtype
    """Number format of the products."""
    shared: int
    """As in ``softmax_nats``; the size of the vocabulary if all words can follow everywhere."""
    consistency: float
    """As in ``softmax_nats``."""


class _SoftmaxCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        targets: torch.Tensor,
        settings: _Settings,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        passes, dtype = 2 if settings.consistency else 1, settings.dtype
        with torch.autocast(hidden.device.type, enabled=False):
            matrix, wanted = weight.to(dtype), targets.view(passes, -1)
            states = hidden.to(dtype).view(passes, -1, weight.shape[1])  # (passes, targets, units)
            shares = (hidden / len(targets)).to(dtype).view_as(states)  # the mean's factor, where it costs least
            rows = -(-_rows_at_once(hidden.device.type, len(targets), *weight.shape) // passes)
            scores = torch.empty(passes * rows, len(weight), device=hidden.device, dtype=weight.dtype)
            products = scores if dtype == weight.dtype else torch.empty_like(scores, dtype=dtype)
            hidden_gradient, weight_gradient = torch.empty_like(states), torch.empty_like(weight)
            bias_gradient, loss = torch.zeros_like(bias), torch.zeros((), device=bias.device, dtype=bias.dtype)
            nats = torch.empty(wanted.shape, device=bias.device, dtype=bias.dtype)
            for first in range(0, states.shape[1], rows):
                part = slice(first, first + rows)
                some_states, some_targets = states[:, part].flatten(0, 1), wanted[:, part].flatten()
                some, gradient = scores[: len(some_states)], products[: len(some_states)]  # (rows, vocabulary)
                torch.mm(some_states, matrix.t(), out=gradient)
                if gradient is not some:
                    some.copy_(gradient)
                some_loss, some_nats = _gradient_of_scores(some.add_(bias), some_targets, settings)
                loss += some_loss
                nats[:, part] = some_nats.view(passes, -1)
                bias_gradient += some.sum(dim=0)
                if gradient is not some:
                    gradient.copy_(some)
                hidden_gradient[:, part] = torch.mm(gradient, matrix).view(passes, -1, weight.shape[1])
                _add_product(weight_gradient, gradient.t(), shares[:, part].flatten(0, 1), first == 0)
            ctx.save_for_backward(
                hidden_gradient.flatten(0, 1) / len(targets), weight_gradient, bias_gradient / len(targets)
            )
        ctx.hidden_dtype = hidden.dtype
        each = nats.flatten()
        ctx.mark_non_differentiable(each)
        return loss / len(targets), each

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        if upstream.device.type != "cpu" or upstream != 1:  # a pass over the weights that is rarely needed
            hidden, weight, bias = hidden * upstream, weight * upstream, bias * upstream
        return hidden.to(ctx.hidden_dtype), weight, bias, None, None


def _rows_at_once(device: str, targets: int, vocabulary_size: int, units: int) -> int:
    """Number of targets in each slice: as many as units, so that a slice has as many logits as there are weights."""
    most = max(FEWEST_TARGETS_AT_ONCE, units, LOGITS_AT_ONCE.get(device, 1 << 24) // vocabulary_size)
    return ceil(targets / ceil(targets / most))


def _gradient_of_scores(
    scores: torch.Tensor, targets: torch.Tensor, settings: _Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace scores, (rows, vocabulary), by the gradient of the summed loss; return the loss and the nats, (rows,)."""
    wanted = targets[:, None]  # (rows, 1)
    if settings.shared < scores.shape[1]:
        own = torch.arange(settings.shared, scores.shape[1], device=scores.device)
        scores[:, settings.shared :].masked_fill_(own != wanted, IMPOSSIBLE)
    highest = scores.amax(dim=1)  # (rows,)
    right = scores.gather(1, wanted).squeeze(1)
    ratios = torch.sub(*scores.chunk(2)) if settings.consistency else None  # (rows / 2, vocabulary)
    torch.softmax(scores, dim=1, out=scores)
    # the probability of the likeliest token gives the normalizer exactly, in half the time of a logsumexp
    normalizers = highest - scores.amax(dim=1).log()
    nats = normalizers - right
    loss = nats.sum()
    if ratios is not None:
        ratios -= torch.sub(*normalizers.chunk(2))[:, None]  # log(P / Q)
        divergence = _add_divergence(scores, ratios, settings.consistency)
        loss += 2 * settings.consistency * divergence  # the sum is divided by the targets of both passes
    scores.scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=scores.dtype))
    return loss, nats


def _add_divergence(probabilities: torch.Tensor, ratios: torch.Tensor, weight: float) -> torch.Tensor:
    """Add ``weight`` times the gradient of KL(P || Q) + KL(Q || P) to the probabilities, (2 * rows, vocabulary).

    Their first half is P, the second Q, and ``ratios`` is log(P / Q), which is overwritten. Returns half of the summed
    divergence. With respect to the scores of P the gradient is P * (log(P / Q) - KL(P || Q)) + P - Q.
    """
    p, q = probabilities.chunk(2)
    forward, backward = torch.linalg.vecdot(p, ratios), -torch.linalg.vecdot(q, ratios)  # (rows,)
    ratios *= weight
    of_p = (ratios + (1 + weight - weight * forward)[:, None]).mul_(p).sub_(q, alpha=weight)
    of_q = (1 + weight - weight * backward)[:, None] - ratios
    q.copy_(of_q.mul_(q).sub_(p, alpha=weight))
    p.copy_(of_p)
    total: torch.Tensor = forward + backward
    return total.sum() / 2


def _add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor, first: bool) -> None:
    """total += a @ b, or total = a @ b at first; the sum is in float32 also where the products are not."""
    if total.dtype != a.dtype:
        total.copy_(a @ b) if first else total.add_(a @ b)
    elif first:
        torch.mm(a, b, out=total)
    else:
        total.addmm_(a, b)
