"""Linear interpolation of two predictions."""

from math import inf, log, log1p

import torch


def mixed(scores: torch.Tensor, others: torch.Tensor, weight: float) -> torch.Tensor:
    """log((1 - weight) * exp(scores) + weight * exp(others)), exactly one of them for a weight of 0 or 1."""
    own, other = (log1p(-weight) if weight < 1 else -inf), (log(weight) if weight > 0 else -inf)
    return torch.logaddexp(scores + own, others + other)
