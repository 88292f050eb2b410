"""Nearest neighbours of tokens by the cosine of their embeddings."""

from collections.abc import Sequence

import numpy as np
import torch

from textloom.tokenizers import Tokenizer

CANDIDATES = 5_000
"""Neighbours are searched among so many of the most frequent tokens: embeddings of rare ones are hardly trained."""
SHORTEST_WORD = 4
"""Letters; shorter words say little, and are shown only if there are few others."""


def nearest_neighbours(
    embeddings: torch.Tensor, tokens: Sequence[int], candidates: Sequence[int], count: int
) -> list[list[tuple[int, float]]]:
    """The ``count`` candidates with the largest cosine to each of some tokens, without the token itself.

    ``embeddings`` (vocabulary, embedding_dim).
    """
    directions = torch.nn.functional.normalize(embeddings, dim=1)
    others = torch.as_tensor(candidates)
    cosines = directions[torch.as_tensor(tokens)] @ directions[others].T  # (tokens, candidates)
    found = []
    for token, row in zip(tokens, cosines, strict=True):
        best = row.argsort(descending=True, stable=True)[: count + 1].tolist()
        pairs = [(int(others[place]), float(row[place])) for place in best]
        found.append([pair for pair in pairs if pair[0] != token][:count])
    return found


def frequent_tokens(tokenizer: Tokenizer, counts: np.ndarray, most: int) -> list[int]:
    """The most frequent tokens of a text by their counts, (vocabulary,), without special tokens and those not in it."""
    special = {tokenizer.unknown_id, tokenizer.end_id}
    order = np.argsort(-counts, kind="stable")
    return [token for token in order[: most + len(special)].tolist() if counts[token] and token not in special][:most]


def frequent_words(tokenizer: Tokenizer, frequent: Sequence[int], most: int) -> list[int]:
    """Of frequent tokens those that are words, if there are enough of them."""
    words = [token for token in frequent if sum(map(str.isalpha, tokenizer.token_text(token))) >= SHORTEST_WORD]
    return (words if len(words) >= min(most, len(frequent)) // 2 else list(frequent))[:most]
