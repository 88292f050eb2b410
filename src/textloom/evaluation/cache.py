"""The continuous cache of Grave et al. (2017), "Improving neural language models with a continuous cache", arXiv
1612.04426: words that followed similar hidden states a short time ago are likely to follow again.

The cache holds the last pairs of a hidden state ``h[i]`` and the token ``x[i + 1]`` that followed it:

    p_cache(w | h[t]) = sum over i with x[i + 1] = w of exp(sharpness * h[t] . h[i]), divided by the sum over all i
    p(w) = (1 - weight) * p_model(w) + weight * p_cache(w)

(equations 4 and 6; ``sharpness`` is the paper's theta, ``weight`` its lambda).
"""

from math import log

import torch

from textloom.evaluation.adaptation import CacheSettings
from textloom.evaluation.mixture import interpolate

AT_ONCE = 128  # targets whose similarities are in memory together


class ContinuousCache:
    """The last pairs of one stream."""

    def __init__(self, settings: CacheSettings):
        self.settings = settings
        self.states: torch.Tensor | None = None  # (pairs, units), oldest first
        self.tokens: torch.Tensor | None = None  # (pairs,)

    def mix(self, scores: torch.Tensor, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The log-probabilities with those of the cache mixed in: (targets, vocabulary).

        ``hidden`` (targets, units) are the states after which the targets are predicted. Each target enters the cache
        once it is predicted: those before it in this call are already there.
        """
        parts = zip(*(torch.split(whole, AT_ONCE) for whole in (scores, hidden, targets)), strict=True)
        return torch.cat([self._mix(*part) for part in parts])

    def _mix(self, scores: torch.Tensor, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        before = 0 if self.states is None else len(self.states)
        states = hidden if self.states is None else torch.cat([self.states, hidden])  # (before + targets, units)
        tokens = targets if self.tokens is None else torch.cat([self.tokens, targets])
        place = before + torch.arange(len(hidden), device=hidden.device)[:, None]  # of each target's own pair
        pair = torch.arange(len(states), device=hidden.device)
        usable = (pair < place) & (pair >= place - self.settings.size)  # (targets, before + targets)
        similarity = self.settings.sharpness * (hidden @ states.t())
        shares = torch.softmax(similarity.masked_fill(~usable, float("-inf")), dim=1)
        self.states, self.tokens = states[-self.settings.size :], tokens[-self.settings.size :]
        # the other words get nothing from the cache
        words, columns = torch.unique(tokens, return_inverse=True)
        cached = scores.new_zeros(len(hidden), len(words))
        cached.scatter_add_(1, columns.expand(len(hidden), -1), shares.nan_to_num())
        found = scores + log(1 - self.settings.weight)
        found[:, words] = interpolate(
            [scores[:, words], cached.log()], [1 - self.settings.weight, self.settings.weight]
        )
        if not before:
            found[:1] = scores[:1]  # an empty cache says nothing
        return found
