"""Consistency regularization (R-Drop): two passes with different dropout masks should predict the same.

Wu et al. (2021), "R-Drop: Regularized dropout for neural networks", arXiv 2106.14448. Each row of a batch is read
twice, side by side, with masks of its own. The loss is the mean cross-entropy of both passes, plus a weight times the
symmetric Kullback-Leibler divergence of their predictions, (KL(P || Q) + KL(Q || P)) / 2. The paper adds up the
cross-entropies of both passes (equations 3 and 4), so its weight alpha is twice ours.
"""

import torch

from textloom.batching.batch import Batch


def twice(batch: Batch) -> Batch:
    """The batch with all of its rows a second time, after the others."""
    positions = batch.positions
    if positions is not None:
        positions = torch.cat([positions, positions + batch.inputs.numel()])
    inputs, targets = (torch.cat([part, part]) for part in (batch.inputs, batch.targets))
    return batch._replace(inputs=inputs, targets=targets, positions=positions)
