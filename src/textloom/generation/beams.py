"""Beam search: several texts are followed side by side to find the likeliest ones."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from textloom.generation.reading import start
from textloom.generation.requests import Beams, Request, Rules
from textloom.generation.sampling import TokenSampler
from textloom.generation.step_settings import suited_to
from textloom.models.language_model import LanguageModel
from textloom.system.progress import advance
from textloom.tokenizers import Tokenizer


class Found(NamedTuple):
    """A text that the search has found."""

    score: float
    """Its log-probability, divided by a power of its length."""
    tokens: list[int]
    logprobs: list[float]
    """Log-probability of each token under the model, if it is wanted."""


class _End(NamedTuple):
    """The end of a text: a step and a row, with the score of the text."""

    score: float
    step: int
    row: int


def search(
    model: LanguageModel, tokenizer: Tokenizer, request: Request, rules: Rules, *, most: int | None = None
) -> list[Found]:
    """The likeliest texts of up to ``rules.limits.length`` tokens, the best first; at most as many as there are beams.

    All beams are computed in one step. Of the sampling only the penalties are used. As in ``transformers``, a group
    stops when none of its texts can become better than those that it has found.
    """
    beams, opening = rules.beams, request.opening
    assert beams is not None
    with torch.inference_mode():
        decoder, tokens = start(model, [opening.reading] * beams.width, rules.window, tokenizer.unknown_id)
        sampler = TokenSampler(
            [request.sampling] * beams.width, tokenizer.vocabulary_size, decoder.device, rules.tokens
        )
        sampler.begin([opening.ids] * beams.width)
        tree = _Tree(beams, tokenizer.end_id)
        with suited_to(decoder):
            for _ in range(rules.limits.length):
                decoder.read(tokens)
                scores = decoder.score()
                if opening.begins and not tree.steps:
                    scores = scores.clone()
                    scores[:, tokenizer.end_id] = -torch.inf
                logprobs = scores.log_softmax(dim=1)
                changed = sampler.adjusted(scores).log_softmax(dim=1) if sampler.remembers else logprobs
                parents, tokens = tree.grow(changed, logprobs if rules.with_logprobs else None)
                advance()
                if tree.over:
                    break
                decoder.select(parents)
                sampler.follow(parents, tokens)
    return tree.best(most or beams.width)


class _Tree:
    """The texts that are followed, as rows of a batch, and those that have ended."""

    def __init__(self, beams: Beams, end_id: int):
        self._beams, self._end_id = beams, end_id
        self._size = beams.width // beams.groups
        # all texts of a group are the same at first, so that only one of them is followed
        self._totals = [0.0 if row % self._size == 0 else -torch.inf for row in range(beams.width)]
        self.steps: list[tuple[list[int], list[int], list[float]]] = []  # parents, tokens, log-probabilities of rows
        self._ended: list[list[_End]] = [[] for _ in range(beams.groups)]
        self._done = [False] * beams.groups

    @property
    def over(self) -> bool:
        """True if no text can become better than those that have ended."""
        return all(self._done)

    def grow(self, scores: torch.Tensor, logprobs: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose the next token of each text, from (rows, vocabulary): the rows to continue from, and the tokens.

        ``scores`` are log-probabilities after penalties, ``logprobs`` those of the model if they are wanted.
        """
        device, vocabulary = scores.device, scores.shape[1]
        totals = scores + _tensor(np.array(self._totals, np.float32)[:, None], device)
        chosen: list[tuple[float, int, int]] = []  # (total, row, token), in the order of the rows
        for group in range(self._beams.groups):
            first = group * self._size
            own = totals if self._beams.groups == 1 else totals[first : first + self._size]
            if group and self._beams.diversity_penalty:
                before = _tensor(np.array([token for _, _, token in chosen]), device)
                own = own - self._beams.diversity_penalty * torch.bincount(before, minlength=vocabulary)
            best = own.view(-1).topk(min(2 * self._size, own.numel()))
            places = (first * vocabulary + best.indices).tolist() if first else best.indices.tolist()
            chosen += self._choose(group, zip(best.values.tolist(), places, strict=True), vocabulary)
        self._totals = [total for total, _, _ in chosen]
        parents, tokens = [row for _, row, _ in chosen], [token for _, _, token in chosen]
        rows, ids = _tensor(np.array(parents), device), _tensor(np.array(tokens), device)
        wanted = [] if logprobs is None else logprobs[rows, ids].tolist()
        self.steps.append((parents, tokens, wanted))
        return rows, ids

    def _choose(
        self, group: int, candidates: Iterable[tuple[float, int]], vocabulary: int
    ) -> list[tuple[float, int, int]]:
        """The texts of a group that have not ended; those that end are kept if they are good enough.

        ``candidates`` are totals and their places in (rows, vocabulary), the best first.
        """
        follow: list[tuple[float, int, int]] = []
        ends: list[tuple[float, int, int]] = []
        for rank, (total, place) in enumerate(candidates):
            row, token = divmod(place, vocabulary)
            if token != self._end_id:
                follow.append((total, row, token))
                if len(follow) == self._size:
                    break
                continue
            ends.append((-torch.inf, row, token))
            if rank < self._size and total > -torch.inf and not self._done[group]:
                self._keep(group, _End(self._score(total, len(self.steps) + 1), len(self.steps), row))
        follow = (follow + ends)[: self._size]  # those that ended fill rows that are not followed
        ended = self._ended[group]
        if len(ended) == self._size and ended[-1].score >= self._score(follow[0][0], len(self.steps) + 1):
            self._done[group] = True
        return follow

    def _keep(self, group: int, end: _End) -> None:
        best = sorted([*self._ended[group], end], key=lambda one: -one.score)
        self._ended[group] = best[: self._size]

    def _score(self, total: float, length: int) -> float:
        divisor: float = length**self._beams.length_penalty
        return total / divisor

    def best(self, most: int) -> list[Found]:
        """The best texts of all groups without repetitions, the best first; texts that have not ended are included."""
        ends = [end for group in self._ended for end in group]
        for row, total in enumerate(self._totals):
            if total > -torch.inf and not self._done[row // self._size]:
                ends.append(_End(self._score(total, len(self.steps)), len(self.steps), row))
        found: dict[tuple[int, ...], Found] = {}
        for end in sorted(ends, key=lambda one: -one.score):
            one = self._traced(end)
            found.setdefault(tuple(one.tokens), one)
            if len(found) == most:
                break
        return list(found.values())

    def _traced(self, end: _End) -> Found:
        """The tokens that lead to a row, from the last to the first."""
        tokens: list[int] = []
        logprobs: list[float] = []
        row = end.row
        for parents, step_tokens, step_logprobs in reversed(self.steps[: end.step]):
            tokens.append(step_tokens[row])
            logprobs += step_logprobs[row : row + 1]
            row = parents[row]
        return Found(end.score, tokens[::-1], logprobs[::-1])


def _tensor(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """A tensor by way of NumPy, which reads a short list in a third of the time."""
    return torch.from_numpy(values) if device.type == "cpu" else torch.from_numpy(values).to(device)
