"""Initial weights of a recurrent language model: scaled to the size of each layer's inputs, or as Keras draws them."""

from typing import Literal

import torch
from torch import nn

OUTPUT_RMS: dict[type[nn.RNNBase], float] = {nn.LSTM: 0.25, nn.GRU: 0.45, nn.RNN: 0.65}
"""Root mean square of the outputs of a layer with these weights: what the next layer reads."""


def init_embedding(embedding: nn.Embedding, bound: float | None) -> float:
    """Draw embeddings uniformly from -bound to bound, or with unit variance; returns the expected norm of a row."""
    if bound is None:
        nn.init.normal_(embedding.weight)
        return float(embedding.embedding_dim**0.5)
    nn.init.uniform_(embedding.weight, -bound, bound)
    return float(bound * (embedding.embedding_dim / 3) ** 0.5)


def init_softmax(softmax: nn.Module, units: int, kind: Literal["scaled", "keras"]) -> None:
    """Draw the softmax as PyTorch's ``nn.Linear`` does, or with Glorot's bound and zero biases as Keras does."""
    for parameter in softmax.parameters():
        if kind == "scaled":
            nn.init.uniform_(parameter, -(units**-0.5), units**-0.5)
        elif parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)


def init_recurrence(
    recurrence: nn.RNNBase, kind: Literal["scaled", "keras"], *, input_norm: float, forget_bias: float
) -> None:
    """Draw the weights of the recurrent layers; recurrent matrices are orthogonal, one for each gate, in both kinds.

    ``scaled`` gives every gate an input of unit variance, the rule of LeCun et al. (1998), "Efficient BackProp",
    section 4.6, for the size that its inputs really have: vectors of norm ``input_norm`` in the first layer, and the
    small outputs of the layer below in the others. ``keras`` draws input weights by Glorot's rule, which assumes unit
    variance everywhere: the outputs of a second layer are then so small that for several epochs it learns nothing but
    how frequent each token is.
    """
    units = recurrence.hidden_size
    upper_norm = OUTPUT_RMS[type(recurrence)] * units**0.5
    for name, parameter in recurrence.named_parameters():
        if name.startswith("weight_ih") and kind == "scaled":
            nn.init.normal_(parameter, std=1 / (input_norm if name.endswith("_l0") else upper_norm))
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            for gate in torch.split(parameter.detach(), units):  # each gate's own square matrix
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih") and isinstance(recurrence, nn.LSTM):
                nn.init.constant_(parameter.detach()[units : 2 * units], forget_bias)
