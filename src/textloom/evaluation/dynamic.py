"""Dynamic evaluation of Krause et al. (2018), "Dynamic evaluation of neural sequence models", arXiv 1709.07432, with
the RMS rule: after a few tokens are scored, the weights take a gradient step on them, and are drawn back a little to
the trained ones.

    w += -learning_rate * g / (G + epsilon) + min(1, decay * G / mean(G)) * (w0 - w)

(equations 6 and 7): ``g`` is the gradient of the mean loss of these tokens, ``G`` the root mean square of such
gradients on the training split, ``w0`` the trained weight. Every token is scored before it is learned from.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from textloom.batching.stream import Stream
from textloom.data.encoding import TokenSplit
from textloom.evaluation.adaptation import DynamicSettings
from textloom.models.language_model import LanguageModel
from textloom.models.state import State, detach
from textloom.system.progress import advance, stage

STRETCHES, PIECES = 20, 50  # of the training split, from all over it, and the gradients that are taken in each


class DynamicEvaluation:
    """Moves the weights of a model, and puts the trained ones back."""

    def __init__(self, model: LanguageModel, settings: DynamicSettings, rms: list[torch.Tensor]):
        self.weights = moving_weights(model)
        self.trained = [weight.detach().clone() for weight in self.weights]
        numbers = sum(one.numel() for one in rms)
        mean = sum(float(one.double().sum()) for one in rms) / numbers
        self.steps = [settings.learning_rate / (one + settings.epsilon) for one in rms]
        self.returns = [(settings.decay * one / max(mean, 1e-30)).clamp(max=1.0) for one in rms]

    def learn(self, loss: torch.Tensor) -> None:
        """Take a step on the mean loss of tokens that have been scored."""
        gradients = gradients_of(loss, self.weights)
        with torch.no_grad():
            for weight, gradient, step, back, trained in zip(
                self.weights, gradients, self.steps, self.returns, self.trained, strict=True
            ):
                weight.lerp_(trained, back)
                if gradient is not None:
                    weight.addcmul_(gradient, step, value=-1)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the trained weights back."""
        for weight, trained in zip(self.weights, self.trained, strict=True):
            weight.copy_(trained)


def moving_weights(model: LanguageModel) -> list[nn.Parameter]:
    """The weights that a gradient moves, shared ones once."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def gradients_of(loss: torch.Tensor, weights: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
    """The gradient of each weight, None for those that the loss does not depend on."""
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return [one.to_dense() if one is not None and one.is_sparse else one for one in found]


def gradient_rms(model: LanguageModel, training: TokenSplit, steps: int) -> list[torch.Tensor]:
    """Root mean square of the gradient of each weight, over pieces of ``steps`` tokens of the training split."""
    weights = moving_weights(model)
    sums, pieces = [torch.zeros_like(weight) for weight in weights], 0
    with stage("measuring gradients", STRETCHES * PIECES, "pieces"):
        for stretch in _stretches(training, steps):
            state: State | None = None
            for batch in Stream(stretch, 1, steps).batches(epoch=0):
                with differentiable(model):
                    batch = batch.to(model.device)
                    hidden, state = model(batch.inputs, state)
                    state = detach(state)
                    loss = F.cross_entropy(model.logits(batch.states_with_targets(hidden)), batch.targets)
                for total, gradient in zip(sums, gradients_of(loss, weights), strict=True):
                    if gradient is not None:
                        total.addcmul_(gradient, gradient)
                pieces += 1
                advance()
    return [total.div_(pieces).sqrt_() for total in sums]


def _stretches(training: TokenSplit, steps: int) -> Iterator[TokenSplit]:
    """Parts of the training split of the same length, from all over it; all of a short one."""
    targets = len(training.tokens) - 1
    length = min(PIECES * steps, targets)
    for begin in np.unique(np.linspace(0, targets - length, min(STRETCHES, -(-targets // length))).astype(np.int64)):
        tokens = training.tokens[begin : begin + length + 1]
        yield replace(training, tokens=tokens, boundaries=np.array([0, length]), windows=None)


@contextmanager
def differentiable(model: LanguageModel) -> Iterator[None]:
    """Gradients of a model in evaluation mode, which cuDNN's recurrent layers do not have: without cuDNN on a GPU.

    Those of an embedding are sparse: a dense one, filled with zeros and added to that of a tied softmax, costs a sixth
    of the time of a gradient (2 x 200 units, 33,278 words, one core).
    """
    dense = [part for part in model.modules() if isinstance(part, nn.Embedding) and not part.sparse]
    try:
        for embedding in dense:
            embedding.sparse = True
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=model.device.type != "cuda"):
            yield
    finally:
        for embedding in dense:
            embedding.sparse = False
