"""Minimal gated recurrent unit: Feng et al. (2024), "Were RNNs all we needed?", arXiv 2410.01201, section 3.1.

The plain cell, with positive candidates as in appendix B. The paper's language model puts it in blocks with
normalization, a convolution, an MLP and residual connections, which are not implemented here.
"""

from collections.abc import Sequence

import torch

from textloom.models.scanned import ScannedCell
from textloom.models.stacked import stacked


@stacked
class MinGRU(ScannedCell):
    """One layer."""

    gate_names = ("update",)

    def replaced(self, gates: Sequence[torch.Tensor]) -> torch.Tensor:
        """The update gate."""
        (update,) = gates
        return update

    def gate_gradients(self, gates: Sequence[torch.Tensor], logit: torch.Tensor) -> Sequence[torch.Tensor]:
        """The update gate before its sigmoid is the logit."""
        return (logit,)
