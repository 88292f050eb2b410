"""Dropout for recurrent networks: masks that stay the same over time, and masks of whole words."""

import torch
from torch import nn
from torch.nn import functional as F


class LockedDropout(nn.Module):
    """Dropout with one mask for each row of a batch, the same at every time step.

    Gal and Ghahramani (2016), "A theoretically grounded application of dropout in recurrent neural networks",
    arXiv 1512.05287, there called variational; the name is that of Merity et al. (2018), arXiv 1708.02182.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(batch, time, features) -> the same shape."""
        if not self.training or not self.p:
            return vectors
        return vectors * F.dropout(torch.ones_like(vectors[:, :1]), self.p)


def build_dropout(p: float, locked: bool) -> nn.Module:
    """Dropout of single elements, with a mask for each time step or one for all of them."""
    return LockedDropout(p) if locked else nn.Dropout(p)


def drop_weights(weight: torch.Tensor, p: float) -> torch.Tensor:
    """The matrix with each element zero with probability ``p`` and the others scaled by 1 / (1 - p).

    ``F.dropout`` does the same, but on AMD processors torch draws Bernoulli numbers one by one: 843,000 take 8 ms,
    uniform numbers 1.6 ms.
    """
    kept = torch.rand_like(weight) >= p
    return weight * kept.to(weight.dtype).div_(1 - p)


def drop_words(vectors: torch.Tensor, ids: torch.Tensor, vocabulary_size: int, p: float) -> torch.Tensor:
    """Embeddings, (batch, time, embedding_dim), with those of some words replaced by zeros wherever they occur.

    A word of the vocabulary is dropped with probability ``p`` in the whole batch, ``ids`` (batch, time), and the other
    embeddings are scaled by 1 / (1 - p): Gal and Ghahramani (2016), section 4.2; Merity et al. (2018), section 4.3.
    """
    kept = F.dropout(vectors.new_ones(vocabulary_size), p)  # (vocabulary,)
    return vectors * kept[ids][..., None]
