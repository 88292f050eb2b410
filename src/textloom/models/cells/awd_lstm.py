"""AWD-LSTM: Merity, Keskar and Socher (2018), "Regularizing and optimizing LSTM language models", arXiv 1708.02182.

Layers of torch's LSTM with DropConnect (Wan et al. 2013) on the weights between hidden states; with tied weights the
last layer has as many units as the embedding, as in the paper. The paper's other methods are not part of the cell:
``model.locked_dropout`` and ``model.embedding_dropout``, activation regularization, ``batching.random_steps`` and the
averaging of weights.
"""

import torch

from textloom.config import AWDLSTMConfig
from textloom.models.cells.lstm import LSTM
from textloom.models.dropout import drop_weights
from textloom.models.stacked import Stacked


class WeightDroppedLSTM(LSTM):
    """One layer, whose weights between hidden states are dropped with one mask for the whole of a batch.

    Torch computes the layer with the masked weights, at the speed of ``nn.LSTM``; their gradients reach the weights
    that were not dropped, and evaluation has no mask.
    """

    def __init__(self, config: AWDLSTMConfig, input_size: int):
        super().__init__(config, input_size)
        self.weight_dropout = config.weight_dropout

    def layer_weights(self, layer: int) -> list[torch.Tensor]:
        """The weights of the layer; in training some of ``weight_hh`` are zero, the others scaled by 1 / (1 - p)."""
        weight_ih, weight_hh, *biases = super().layer_weights(layer)
        if self.training and self.weight_dropout:
            weight_hh = drop_weights(weight_hh, self.weight_dropout)
        return [weight_ih, weight_hh, *biases]


class AWDLSTM(Stacked):
    """All layers; the state is (hidden, cell) of each, from the lowest on, each (1, batch, units of the layer)."""

    def __init__(self, config: AWDLSTMConfig, input_size: int):
        assert isinstance(config.units, int)
        outputs = [config.units] * (config.layers - 1) + [config.output_units]
        inputs = [input_size, *outputs[:-1]]
        single = {"layers": 1, "layer_dropout": 0.0}  # dropout between layers is that of ``Stacked``
        layers = [
            WeightDroppedLSTM(config.model_copy(update={**single, "units": units}), size)
            for size, units in zip(inputs, outputs, strict=True)
        ]
        super().__init__(layers, config)
