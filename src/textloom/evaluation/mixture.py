"""Linear interpolation of predictions."""

from collections.abc import Sequence
from functools import reduce
from math import inf, log

import torch


def interpolate(predictions: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """log(sum of weight * exp(log-probabilities)); exactly one of the predictions if its weight is 1.

    The weights are not negative, and their sum is 1.
    """
    shares = [log(weight) if weight > 0 else -inf for weight in weights]
    return reduce(torch.logaddexp, (scores + share for scores, share in zip(predictions, shares, strict=True)))
