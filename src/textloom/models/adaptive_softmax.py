"""Adaptive softmax (Grave et al. 2017, "Efficient softmax approximation for GPUs", arXiv 1609.04309), torch.nn's own.

The tokens before the first cutoff and one entry for each cluster of rarer ones make a small softmax; a cluster is
looked into only for targets that lie in it, through a projection that is a quarter as wide as that of the cluster
before. It pays for vocabularies past 100,000 whose ids run from frequent to rare, as those of the word tokenizers do.
What it costs: it computes in float32 in every precision, and a GPU is waited for at each cluster of each step.
"""

from collections.abc import Sequence

from torch import nn

from textloom.errors import ConfigError

NARROWER = 4  # each cluster's projection than the one before


def adaptive_softmax(units: int, vocabulary_size: int, cutoffs: Sequence[int]) -> nn.AdaptiveLogSoftmaxWithLoss:
    """Raises ConfigError if a cutoff lies outside the vocabulary, or a projection would have no width."""
    if cutoffs[-1] > vocabulary_size - 1:
        raise ConfigError(
            f"model.softmax_cutoffs: {cutoffs[-1]} leaves no token for the last cluster, the vocabulary has "
            f"{vocabulary_size:,}; lower it, or set model.softmax_cutoffs=null"
        )
    if units < NARROWER ** len(cutoffs):
        raise ConfigError(
            f"model.softmax_cutoffs: {len(cutoffs)} clusters need {NARROWER ** len(cutoffs)} units, "
            f"model.units is {units}; give fewer cutoffs or more units (or model.parameters)"
        )
    return nn.AdaptiveLogSoftmaxWithLoss(units, vocabulary_size, list(cutoffs), NARROWER)


def multiplications(units: int, vocabulary_size: int, cutoffs: Sequence[int] | None) -> list[int]:
    """Weights that a target meets: in the first softmax, and beyond that in each cluster if it lies there.

    Without cutoffs those of the dense softmax.
    """
    if cutoffs is None:
        return [units * vocabulary_size]
    widths = [units // NARROWER ** (place + 1) for place in range(len(cutoffs))]
    sizes = [end - begin for begin, end in zip(cutoffs, [*cutoffs[1:], vocabulary_size], strict=True)]
    return [
        units * (cutoffs[0] + len(cutoffs)),
        *(width * (units + size) for width, size in zip(widths, sizes, strict=True)),
    ]
