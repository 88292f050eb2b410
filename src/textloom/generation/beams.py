"""Beam search: several texts are followed side by side to find the likeliest ones."""

from typing import NamedTuple

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
        tree = _Tree(beams, tokenizer.end_id, decoder.device)
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

    def __init__(self, beams: Beams, end_id: int, device: torch.device):
        self._beams, self._end_id = beams, end_id
        self._size = beams.width // beams.groups
        # all texts of a group are the same at first, so that only one of them is followed
        rows = torch.arange(beams.width, device=device)
        self._totals = torch.zeros(beams.width, device=device).masked_fill_(rows % self._size > 0, -torch.inf)
        self.steps: list[tuple[torch.Tensor, ...]] = []
        """Parents and tokens of the rows, (rows,) each, and log-probabilities if they are wanted."""
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
        totals = scores + self._totals[:, None]
        if self._beams.groups == 1:
            self._totals, parents, tokens = self._choose(0, totals)
        else:
            self._totals, parents, tokens = self._choose_by_groups(totals)
        wanted = () if logprobs is None else (logprobs[parents, tokens],)
        self.steps.append((parents, tokens, *wanted))
        return parents, tokens

    def _choose_by_groups(self, totals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``_choose`` for each group in turn, whose tokens are made less likely for the groups after it."""
        chosen: list[tuple[torch.Tensor, ...]] = []
        counts = totals.new_zeros(totals.shape[1])
        for group in range(self._beams.groups):
            own = totals[group * self._size : (group + 1) * self._size]
            group_totals, parents, tokens = self._choose(group, own - self._beams.diversity_penalty * counts)
            counts += torch.bincount(tokens, minlength=len(counts))
            chosen.append((group_totals, group * self._size + parents, tokens))
        joined, parents, tokens = (torch.cat(parts) for parts in zip(*chosen, strict=True))
        return joined, parents, tokens

    def _choose(self, group: int, totals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Totals, parents and tokens of the texts of a group to follow, the best first, from (rows, vocabulary).

        Texts that end are kept if they are good enough. Parents are counted from the first row of the group.
        """
        size, vocabulary = self._size, totals.shape[1]
        best, places = totals.view(-1).topk(min(2 * size, totals.numel()))
        tokens = places[:size] % vocabulary
        if self._end_id in tokens.tolist():
            order = self._order_without_ends(group, best.tolist(), places.tolist(), vocabulary)
            best, places = best[order], places[order]
            tokens = places[:size] % vocabulary
            best = best.masked_fill(places % vocabulary == self._end_id, -torch.inf)
        ended = self._ended[group]
        if len(ended) == size and ended[-1].score >= self._score(float(best[0]), len(self.steps) + 1):
            self._done[group] = True
        return best[:size], places[:size] // vocabulary, tokens

    def _order_without_ends(self, group: int, totals: list[float], places: list[int], vocabulary: int) -> list[int]:
        """Indices of the candidates to follow, then of those that end, which only fill rows; keeps what ends."""
        follow: list[int] = []
        ends: list[int] = []
        for rank, (total, place) in enumerate(zip(totals, places, strict=True)):
            row, token = divmod(place, vocabulary)
            if token != self._end_id:
                follow.append(rank)
                continue
            ends.append(rank)
            if rank < self._size and total > -torch.inf and not self._done[group]:
                score = self._score(total, len(self.steps) + 1)
                self._keep(group, _End(score, len(self.steps), group * self._size + row))
        return follow + ends

    def _keep(self, group: int, end: _End) -> None:
        best = sorted([*self._ended[group], end], key=lambda one: -one.score)
        self._ended[group] = best[: self._size]

    def _score(self, total: float, length: int) -> float:
        divisor: float = length**self._beams.length_penalty
        return total / divisor

    def best(self, most: int) -> list[Found]:
        """The best texts of all groups without repetitions, the best first; texts that have not ended are included."""
        ends = [end for group in self._ended for end in group]
        for row, total in enumerate(self._totals.tolist()):
            if total > -torch.inf and not self._done[row // self._size]:
                ends.append(_End(self._score(total, len(self.steps)), len(self.steps), row))
        steps = [torch.stack(parts).tolist() for parts in zip(*self.steps, strict=True)]
        found: dict[tuple[int, ...], Found] = {}
        for end in sorted(ends, key=lambda one: -one.score):
            one = _traced(end, *steps)
            found.setdefault(tuple(one.tokens), one)
            if len(found) == most:
                break
        return list(found.values())


def _traced(
    end: _End, parents: list[list[int]], tokens: list[list[int]], logprobs: list[list[float]] | None = None
) -> Found:
    """The text that leads to an end, followed back from its row; the lists are those of all steps."""
    path: list[tuple[int, int]] = []
    row = end.row
    for step in reversed(range(end.step)):
        path.append((step, row))
        row = parents[step][row]
    path.reverse()
    numbers = [] if logprobs is None else [logprobs[step][row] for step, row in path]
    return Found(end.score, [tokens[step][row] for step, row in path], numbers)
