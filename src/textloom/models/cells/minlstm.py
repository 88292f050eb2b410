"""Minimal long short-term memory: Feng et al. (2024), "Were RNNs all we needed?", arXiv 2410.01201, section 3.2.

Forget and input gate are divided by their sum, so that the size of the state does not depend on the length of the text.
The plain cell, with positive candidates as in appendix B. The paper's language model puts it in blocks with
normalization, a convolution, an MLP and residual connections, which are not implemented here.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from textloom.config import MinLSTMConfig
from textloom.models.scanned import ScannedCell
from textloom.models.stacked import stacked


@stacked
class MinLSTM(ScannedCell):
    """One layer."""

    gate_names = ("forget", "input")

    def __init__(self, config: MinLSTMConfig, input_size: int):
        super().__init__(config, input_size)
        self.forget_bias = config.forget_bias

    def replaced(self, gates: Sequence[torch.Tensor]) -> torch.Tensor:
        """input / (forget + input); 0 if both gates underflow."""
        forget, enter = gates
        return enter / (forget + enter).clamp_(min=torch.finfo(enter.dtype).tiny)

    def gate_gradients(self, gates: Sequence[torch.Tensor], logit: torch.Tensor) -> Sequence[torch.Tensor]:
        """The logit is log(input) - log(forget), and 1 - sigmoid(x) the derivative of log(sigmoid(x))."""
        forget, enter = gates
        return logit * (forget - 1), logit * (1 - enter)

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw the weights as for minGRU, and set the bias of the forget gate."""
        super().init_weights(kind, input_norm)
        nn.init.constant_(self.inputs.bias.detach()[: self.units], self.forget_bias)
