"""Initial weights of embedding, projection and softmax; each cell draws its own."""

from typing import Literal

from torch import nn


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


def init_projection(projection: nn.Linear, kind: Literal["scaled", "keras"]) -> None:
    """Draw the projection so that its outputs are as large as its inputs, or by Glorot's rule as Keras does."""
    if kind == "scaled":
        nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
    else:
        nn.init.xavier_uniform_(projection.weight)
