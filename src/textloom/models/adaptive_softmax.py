"""Adaptive softmax of torch.nn: Grave et al. (2017), "Efficient softmax approximation for GPUs", arXiv 1609.04309.

The tokens before the first cutoff and one entry for each cluster of rarer ones form a small softmax; a cluster is
computed only for targets that lie in it, through a projection a quarter as wide as that of the cluster before. It is
worth it for vocabularies above 100,000 with ids from frequent to rare, as those of the word tokenizers are. It computes
in float32 in every precision, and synchronizes with a GPU at each cluster of each step.
"""

from collections.abc import Sequence

from torch import nn

from textloom.errors import ConfigError

WIDTH_RATIO = 4  # ratio of the widths of the projections of two neighbouring clusters


def adaptive_softmax(units: int, vocabulary_size: int, cutoffs: Sequence[int]) -> nn.AdaptiveLogSoftmaxWithLoss:
    """An adaptive softmax. Raises ConfigError if a cutoff lies outside the vocabulary or a projection has no width."""
    if cutoffs[-1] > vocabulary_size - 1:
        raise ConfigError(
            f"model.softmax_cutoffs: {cutoffs[-1]} leaves no token for the last cluster, the vocabulary has "
            f"{vocabulary_size:,}; lower it, or set model.softmax_cutoffs=null"
        )
    if units < WIDTH_RATIO ** len(cutoffs):
        raise ConfigError(
            f"model.softmax_cutoffs: {len(cutoffs)} clusters need {WIDTH_RATIO ** len(cutoffs)} units, "
            f"model.units is {units}; give fewer cutoffs or more units (or model.parameters)"
        )
    return nn.AdaptiveLogSoftmaxWithLoss(units, vocabulary_size, list(cutoffs), WIDTH_RATIO)


def multiplications(units: int, vocabulary_size: int, cutoffs: Sequence[int] | None) -> list[int]:
    """Number of multiplications for a target: in the first softmax, then in each cluster, if the target lies in it.

    Without cutoffs, the only number is that of the dense softmax.
    """
    if cutoffs is None:
        return [units * vocabulary_size]
    widths = [units // WIDTH_RATIO ** (place + 1) for place in range(len(cutoffs))]
    sizes = [end - begin for begin, end in zip(cutoffs, [*cutoffs[1:], vocabulary_size], strict=True)]
    return [
        units * (cutoffs[0] + len(cutoffs)),
        *(width * (units + size) for width, size in zip(widths, sizes, strict=True)),
    ]
