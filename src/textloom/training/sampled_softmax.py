"""Sampled softmax: a training step scores a sample of a large vocabulary instead of all of it.

Each word w is drawn with a probability pi(w), independently of the others and of the text. The candidates of a target
are the words that were drawn, and itself. Given these, the probability that w is the target is proportional to
P(w) / pi(w). So log pi(w) is subtracted from the scores, and the cross-entropy among the candidates is smallest where
the softmax of the scores over the whole vocabulary is P. The correction is that of Jean et al. (2015), "On using very
large target vocabulary for neural machine translation", arXiv 1412.2007, section 3; Ma and Collins (2018), arXiv
1809.01812, show that it is consistent.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

EXPONENT = 0.75  # of the counts: rare words are drawn more often than they occur (Mikolov et al. 2013, arXiv 1310.4546)


@dataclass(frozen=True)
class Candidates:
    """The words that one training step scores."""

    tokens: torch.Tensor
    """(candidates,) int64 token ids: those that were drawn, then the targets that were not."""
    drawn: int
    """Number of those that were drawn. The others are candidates where they are the target, and nowhere else."""
    log_probabilities: torch.Tensor
    """(candidates,) log of the probability that each is drawn."""
    targets: torch.Tensor
    """(targets,) int64, the place of each target in ``tokens``."""

    def nats_among_all(self, nats: torch.Tensor) -> torch.Tensor:
        """Estimate of the -log probability of each target in the whole vocabulary, from that among the candidates.

        (..., targets) -> (..., targets). Each word that was drawn stands for 1 / pi words in the sum over the
        vocabulary, the target for itself alone.
        """
        log_pi = self.log_probabilities[self.targets]
        return nats - log_pi + torch.log1p(torch.exp(-nats) * torch.expm1(log_pi))


class SampledSoftmax(nn.Module):
    """Draws the candidates of each training step."""

    def __init__(self, counts: np.ndarray, samples: int):
        """``counts``, (vocabulary,), say how often each word occurs in training; ``samples`` are drawn on average."""
        super().__init__()
        weights = torch.from_numpy(counts + 1.0) ** EXPONENT
        self.register_buffer("probabilities", inclusion_probabilities(weights, samples).float(), persistent=False)

    def draw(self, targets: torch.Tensor) -> Candidates:
        """The candidates of a step with these targets, (targets,)."""
        probabilities = self.get_buffer("probabilities")
        chosen = torch.rand_like(probabilities) < probabilities  # (vocabulary,)
        missing = torch.zeros_like(chosen)
        missing[targets] = True
        drawn, others = (words.nonzero().squeeze(1) for words in (chosen, missing & ~chosen))
        tokens = torch.cat([drawn, others])
        places = torch.empty_like(probabilities, dtype=torch.long)
        places[tokens] = torch.arange(len(tokens), device=tokens.device)
        return Candidates(tokens, len(drawn), probabilities[tokens].log(), places[targets])


def inclusion_probabilities(weights: torch.Tensor, samples: int) -> torch.Tensor:
    """Probabilities proportional to the weights, (vocabulary,), and at most 1, with ``samples`` as their sum."""
    ordered = weights.sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # the sum of each weight and all smaller ones
    certain = torch.arange(len(weights))
    scales = (samples - certain).clamp(min=0) / rest  # if that many of the largest are certain
    fewest = int((scales * ordered <= 1).nonzero()[0])
    return (weights * scales[fewest]).clamp(max=1)
