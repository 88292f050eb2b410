"""Changes of the logits that depend on the tokens before: penalties for repetition, and banned sequences."""

from collections.abc import Sequence
from typing import Protocol

import torch


class Adjustment(Protocol):
    """Changes logits in place, and notes what is drawn."""

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Forget everything, and note the tokens that each row has read."""

    def apply(self, logits: torch.Tensor) -> None:
        """Change the logits of the next token, (rows, vocabulary)."""

    def note(self, tokens: torch.Tensor) -> None:
        """Note the tokens that were drawn, (rows,)."""

    def select(self, rows: torch.Tensor) -> None:
        """Give row k what row ``rows[k]`` has."""


class Penalties:
    """Repetition (Keskar et al. 2019, section 4.1), presence and frequency penalties.

    The first counts the prompt too, the others only what was drawn, as in ``transformers`` and vLLM.
    """

    def __init__(self, rows: Sequence[tuple[float, float, float]], vocabulary_size: int, device: torch.device):
        columns = torch.tensor(rows, device=device).t()[:, :, None]
        self._repetition, self._presence, self._frequency = columns  # (rows, 1) each
        self._read = torch.zeros(len(rows), vocabulary_size, dtype=torch.bool, device=device)
        self._counts = torch.zeros(len(rows), vocabulary_size, device=device)

    def begin(self, prompts: Sequence[Sequence[int]], drawn: Sequence[Sequence[int]] = ()) -> None:
        """Forget everything, and note the tokens that each row has read, and those that it has drawn already."""
        self._read.zero_()
        self._counts.zero_()
        for row, prompt in zip(self._read, prompts, strict=True):
            row[torch.tensor(list(prompt), dtype=torch.long, device=row.device)] = True
        for counts, tokens in zip(self._counts, drawn, strict=False):
            ids = torch.tensor(list(tokens), dtype=torch.long, device=counts.device)
            counts += torch.bincount(ids, minlength=len(counts))

    def apply(self, logits: torch.Tensor) -> None:
        """Change the logits of the next token, (rows, vocabulary)."""
        repeated = torch.where(logits > 0, logits / self._repetition, logits * self._repetition)
        drawn = self._counts > 0
        torch.where(self._read | drawn, repeated, logits, out=logits)
        logits -= self._frequency * self._counts + self._presence * drawn

    def note(self, tokens: torch.Tensor, counted: torch.Tensor | None = None) -> None:
        """Note the tokens that were drawn, (rows,); of rows that are not ``counted``, (rows,), nothing is noted."""
        ones = torch.ones_like(tokens) if counted is None else counted
        self._counts.scatter_add_(1, tokens[:, None], ones[:, None].to(self._counts.dtype))

    def select(self, rows: torch.Tensor) -> None:
        """Give row k what row ``rows[k]`` has."""
        self._read, self._counts = self._read.index_select(0, rows), self._counts.index_select(0, rows)


class Bans:
    """Bans tokens that would complete a banned sequence, or an n-gram that the row has already; adds the bias."""

    def __init__(
        self,
        banned: Sequence[Sequence[int]],
        bias: Sequence[tuple[int, float]],
        sizes: Sequence[int | None],
        vocabulary_size: int,
        device: torch.device,
    ):
        self._sizes = sizes
        self._always = torch.zeros(vocabulary_size, device=device)
        for token, number in bias:
            self._always[token] += number
        self._after: dict[tuple[int, ...], list[int]] = {}  # prefix of banned sequences -> their last tokens
        for *prefix, last in banned:
            if prefix:
                self._after.setdefault(tuple(prefix), []).append(last)
            else:
                self._always[last] = float("-inf")
        self._lengths = sorted({len(prefix) for prefix in self._after})
        self._sequences: list[list[int]] = [[] for _ in sizes]
        self._ngrams: list[dict[tuple[int, ...], list[int]]] = [{} for _ in sizes]

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Forget everything, and note the tokens that each row has read."""
        self._sequences = [[] for _ in self._sizes]
        self._ngrams = [{} for _ in self._sizes]
        for row, prompt in enumerate(prompts):
            for token in prompt:
                self._add(row, token)

    def apply(self, logits: torch.Tensor) -> None:
        """Change the logits of the next token, (rows, vocabulary)."""
        logits += self._always
        places = [(row, token) for row in range(len(self._sizes)) for token in self._next(row)]
        if places:
            rows, tokens = torch.tensor(places, device=logits.device).t()
            logits[rows, tokens] = float("-inf")

    def note(self, tokens: torch.Tensor) -> None:
        """Note the tokens that were drawn, (rows,)."""
        if self._after or any(self._sizes):
            for row, token in enumerate(tokens.tolist()):
                self._add(row, token)

    def select(self, rows: torch.Tensor) -> None:
        """Give row k what row ``rows[k]`` has."""
        self._sequences = [[*self._sequences[row]] for row in rows.tolist()]
        self._ngrams = [{key: [*found] for key, found in self._ngrams[row].items()} for row in rows.tolist()]

    def _add(self, row: int, token: int) -> None:
        sequence, size = self._sequences[row], self._sizes[row]
        sequence.append(token)
        if size is not None and len(sequence) >= size:
            *prefix, last = sequence[-size:]
            self._ngrams[row].setdefault(tuple(prefix), []).append(last)

    def _next(self, row: int) -> list[int]:
        """The tokens that must not come next."""
        sequence, size = self._sequences[row], self._sizes[row]
        banned = [token for length in self._lengths for token in self._after.get(tuple(sequence[-length:]), ())]
        if size is not None and len(sequence) >= size - 1:
            banned += self._ngrams[row].get(tuple(sequence[len(sequence) - size + 1 :]), [])
        return banned
