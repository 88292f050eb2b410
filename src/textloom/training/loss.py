"""Dense softmax and cross-entropy in one step, a few targets at a time.

For a large vocabulary the (targets, vocabulary) matrix of logits is most of the memory traffic of a training step. Here
only a slice of it exists at any time, and the gradient of a slice is taken while it is still in the cache: the forward
pass leaves the gradients, the backward pass scales them. The idea is that of Wijmans et al. (2024), "Cut your losses in
large-vocabulary language models", arXiv 2411.09009, without a kernel of our own.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

LOGITS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 26}  # 4 MB of float32 stay in a CPU's cache; a GPU wants large products
FEWEST_TARGETS_AT_ONCE = 128  # each slice adds to the whole gradient of the weights, which costs as much again


def softmax_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean of -log softmax(hidden @ weight.T + bias)[target] over the targets, in nats.

    ``hidden`` (targets, units), ``weight`` (vocabulary, units), ``bias`` (vocabulary,), ``targets`` (targets,) int64.
    Products are taken in autocast's number format where it is on, sums in float32.
    """
    kind = hidden.device.type
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
            states, matrix, offset = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
            hidden_gradient = torch.empty_like(states)
            weight_gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(bias)
            nats = torch.zeros((), device=hidden.device, dtype=weight.dtype)
            rows = max(FEWEST_TARGETS_AT_ONCE, LOGITS_AT_ONCE.get(hidden.device.type, 1 << 24) // len(weight))
            for first in range(0, len(targets), rows):
                some, wanted = (
                    states[first : first + rows],
                    targets[first : first + rows, None],
                )  # (rows, units), (rows, 1)
                scores = torch.addmm(offset, some, matrix.t()).to(weight.dtype)  # (rows, vocabulary)
                normaliser = scores.logsumexp(dim=1, keepdim=True)
                nats += (normaliser - scores.gather(1, wanted)).sum()
                # the gradient of the summed loss: probabilities, less one at the target
                gradient = scores.sub_(normaliser).exp_().scatter_add_(1, wanted, -torch.ones_like(normaliser))
                bias_gradient += gradient.sum(dim=0)
                gradient = gradient.to(dtype)
                torch.mm(gradient, matrix, out=hidden_gradient[first : first + rows])
                weight_gradient += gradient.t() @ some
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        ctx.targets, ctx.hidden_dtype = len(targets), hidden.dtype
        return nats / len(targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale = upstream / ctx.targets
        hidden, weight, bias = (gradient * scale for gradient in ctx.saved_tensors)
        return hidden.to(ctx.hidden_dtype), weight, bias, None, None
