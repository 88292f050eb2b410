"""Drawing the next token."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the logits."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_k: int | None = None
    """Draw from the k likeliest tokens only (Fan et al. 2018, arXiv 1805.04833)."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability (Holtzman et al. 2019, arXiv 1904.09751)."""


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator | None = None) -> torch.Tensor:
    """One token for each row of logits: (batch, vocabulary) -> (batch,)."""
    if sampling.temperature == 0:
        return logits.argmax(dim=1)
    # subtracting the largest first keeps a tiny temperature from overflowing
    logits = logits.float() if logits.device.type == "mps" else logits.double()  # MPS has no float64
    scaled = (logits - logits.amax(dim=1, keepdim=True)) / sampling.temperature
    if sampling.top_k is not None:
        weakest = scaled.topk(min(sampling.top_k, scaled.shape[1])).values[:, -1:]
        scaled = scaled.masked_fill(scaled < weakest, float("-inf"))
    probabilities = scaled.softmax(dim=1)
    if sampling.top_p is not None:
        probabilities = _nucleus(probabilities, sampling.top_p)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)


def _nucleus(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """Zero outside the smallest set of tokens that has the share; multinomial needs no renormalising."""
    ordered, order = probabilities.sort(dim=1, descending=True)
    before = ordered.cumsum(dim=1) - ordered  # probability of all likelier tokens; 0 for the likeliest, which stays
    return torch.zeros_like(probabilities).scatter(1, order, ordered.masked_fill(before >= share, 0.0))
