"""Units that track features of a text, found by correlation and compared with shuffled text."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

BLOCK = 100
"""Size in tokens of the blocks that are shuffled: features change slowly, so single tokens would understate chance."""
SHUFFLES = 20
UNITS = 10


@dataclass(frozen=True)
class Tracked:
    """The units that track a feature best."""

    feature: str
    share: float | None
    """The share of tokens that have the feature; None for one that is a number."""
    units: list[tuple[int, float]]
    """Unit and correlation, from the largest correlation in absolute value on."""
    chance: float
    """The largest correlation in absolute value of any unit with the feature of the shuffled text."""


def rank_units(activations: torch.Tensor, features: Mapping[str, np.ndarray], seed: int = 0) -> list[Tracked]:
    """Rank the units for every feature that is not constant; the feature furthest above chance comes first.

    ``activations`` (tokens, units), ``features`` (tokens,) each. The text is shuffled ``SHUFFLES`` times in blocks; a
    correlation above the largest one that any unit reaches there is hardly by chance.
    """
    varying = {name: values for name, values in features.items() if np.ptp(values) > 0}
    if not varying or len(activations) < 2:
        return []
    values = torch.from_numpy(np.stack(list(varying.values()), axis=1))  # (tokens, features)
    units, wanted = _standardized(activations), _standardized(values)
    found = correlations(activations, values)  # (features, units)
    generator = np.random.default_rng(seed)
    chance = torch.zeros(len(varying))
    for _ in range(SHUFFLES):
        order = torch.from_numpy(shuffled_blocks(len(units), generator))
        chance = torch.maximum(chance, (wanted[order].T @ units / len(units)).abs().amax(dim=1))
    ranked = []
    for (name, feature), row, by_chance in zip(varying.items(), found, chance.tolist(), strict=True):
        best = row.abs().argsort(descending=True, stable=True)[:UNITS].tolist()
        share = float(feature.mean()) if set(np.unique(feature)) == {0, 1} else None
        ranked.append(Tracked(name, share, [(unit, float(row[unit])) for unit in best], by_chance))
    return sorted(ranked, key=lambda one: one.chance - abs(one.units[0][1]))


def correlations(activations: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation: (tokens, units), (tokens, features) -> (features, units); 0 where one is constant."""
    return _standardized(features).T @ _standardized(activations) / len(activations)


def shuffled_blocks(tokens: int, generator: np.random.Generator) -> np.ndarray:
    """A permutation of tokens, (tokens,), that moves blocks of ``BLOCK``, or of a tenth of a shorter text."""
    size = max(1, min(BLOCK, tokens // 10))
    blocks = np.array_split(np.arange(tokens), max(1, tokens // size))
    return np.concatenate([blocks[number] for number in generator.permutation(len(blocks))])


def _standardized(columns: torch.Tensor) -> torch.Tensor:
    """Columns of mean 0 and variance 1; constant ones are 0."""
    centred = columns.float() - columns.float().mean(dim=0)
    deviations = centred.square().mean(dim=0).sqrt()
    return torch.where(deviations > 1e-6, centred / deviations.clamp(min=1e-6), 0.0)
