"""Sampling the next token from the logits."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Self

import numpy as np
import torch

from textloom.config import GenerateConfig

COLDEST, HOTTEST = 1e-30, 1e30  # temperatures by which float32 can divide the logits


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the logits. Each field is a key of ``GenerateConfig``, too."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_k: int | None = None
    """Draw from the k likeliest tokens only (Fan et al. 2018, arXiv 1805.04833)."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability (Holtzman et al. 2019, arXiv 1904.09751)."""

    @classmethod
    def of(cls, config: GenerateConfig) -> Self:
        """The sampling that a config asks for."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})


class TokenSampler:
    """Draws a token for each row of logits; each row has its own sampling."""

    def __init__(self, samplings: Sequence[Sampling], vocabulary_size: int, device: torch.device):
        def column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, device=device)[:, None]

        # MPS has no float64; elsewhere it keeps the sum over a large vocabulary from losing the rare tokens
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self.greedy = np.array([sampling.temperature == 0 for sampling in samplings])
        self._sharpness = column([1 / min(max(sampling.temperature, COLDEST), HOTTEST) for sampling in samplings])
        kept = [min(sampling.top_k or vocabulary_size, vocabulary_size) for sampling in samplings]
        self._most_kept = max(kept) if min(kept) < vocabulary_size else None
        self._weakest = torch.tensor(kept, device=device)[:, None] - 1
        shares = [inf if sampling.top_p in (None, 1) else sampling.top_p for sampling in samplings]
        self._shares = column(shares) if min(shares) < inf else None

    def uniforms(self, seed: int | None, length: int) -> torch.Tensor:
        """Random numbers in [0, 1) for ``length`` draws, (length, rows, 1); row k depends only on the seed and k."""
        seeds = np.random.SeedSequence(seed).spawn(len(self.greedy))
        rows = [np.random.default_rng(one).random(length) for one in seeds]
        drawn = np.stack(rows, axis=1)[:, :, None]
        drawn[:, self.greedy] = 0.0  # the first of equally likely tokens, as argmax does
        limit = 1 - torch.finfo(self.dtype).eps  # in float32 the largest numbers would round to 1
        return torch.from_numpy(drawn).to(self.dtype).clamp_(max=limit).to(self._sharpness.device)

    def draw(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Token ids, (rows,), by inverse transform sampling from (rows, vocabulary) logits and (rows, 1) uniforms."""
        scaled = logits * self._sharpness
        if self._most_kept is not None:
            weakest = scaled.topk(self._most_kept).values.gather(1, self._weakest)
            scaled = scaled.masked_fill(scaled < weakest, float("-inf"))
        probabilities = scaled.softmax(dim=1)
        if self._shares is not None:
            probabilities = _nucleus(probabilities, self._shares)
        cumulative = probabilities.cumsum(dim=1, dtype=self.dtype)
        return torch.searchsorted(cumulative, uniforms * cumulative[:, -1:], right=True).squeeze(1)


def _nucleus(probabilities: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """The probabilities, zero outside the smallest set of tokens that has the share; not normalized again."""
    ordered, order = probabilities.sort(dim=1, descending=True)
    before = ordered.cumsum(dim=1) - ordered  # probability of all likelier tokens; 0 for the likeliest, which is kept
    return torch.zeros_like(probabilities).scatter(1, order, ordered.masked_fill(before >= shares, 0.0))
