"""The norm of the gradient of a loss with respect to earlier inputs, which shows how far back they matter."""

import torch

from textloom.inspection.reading import input_vectors
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State


def gradient_norms(
    model: RecurrentLanguageModel, inputs: torch.Tensor, targets: torch.Tensor, state: State | None = None
) -> torch.Tensor:
    """The norm of the gradient of each row's loss with respect to its input vectors, (rows, time).

    ``inputs`` (rows, time) are the tokens before the targets, (rows,), and ``state`` what was before them; the last
    column belongs to the input at distance 1. The vectors are embeddings, or one-hot vectors in a model without.
    """
    state = model.initial_state(len(inputs)) if state is None else state
    with torch.enable_grad():
        vectors = input_vectors(model, inputs).detach().requires_grad_()  # (rows, time, input_size)
        hidden, _ = model.recurrence(vectors, state)
        nats, _ = model.nats_and_argmax(model.projected(hidden[:, -1]), targets)
        (gradient,) = torch.autograd.grad(nats.sum(), vectors)
    norms: torch.Tensor = gradient.norm(dim=2)
    return norms
