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
        tree = _Tree(beams, tokenizer, decoder.device)
        with suited_to(decoder):
            for _ in range(rules.limits.length):
                decoder.read(tokens)
                scores = decoder.score()
                if opening.begins and tree.length == 0:
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

    def __init__(self, beams: Beams, tokenizer: Tokenizer, device: torch.device):
        self._beams, self._end_id = beams, tokenizer.end_id
        self._size = beams.width // beams.groups
        # all texts of a group are the same at first, so that only one of them is followed
        first = torch.arange(beams.width, device=device) % self._size == 0
        self._totals = torch.zeros(beams.width, device=device).masked_fill_(~first, -torch.inf)
        self._steps: list[tuple[torch.Tensor, ...]] = []
        """Parents and tokens of the rows and, if they are wanted, log-probabilities, (rows,) each."""
        places = torch.arange(self._size * tokenizer.vocabulary_size, device=device)
        self._row_and_token = torch.stack([places // tokenizer.vocabulary_size, places % tokenizer.vocabulary_size])
        """(2, rows * vocabulary), of each place in the totals of a group: a look-up is faster than divisions."""
        self._ended: list[list[_End]] = [[] for _ in range(beams.groups)]
        self._done = [False] * beams.groups

    @property
    def length(self) -> int:
        """Number of tokens in each text that is followed."""
        return len(self._steps)

    @property
    def over(self) -> bool:
        """True if no text can become better than those that have ended."""
        return all(self._done)

    def grow(self, scores: torch.Tensor, logprobs: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose the next token of each text, from (rows, vocabulary): the rows to continue from, and the tokens.

        ``scores`` are log-probabilities after penalties, ``logprobs`` those of the model if they are wanted.
        """
        totals = scores + self._totals.unsqueeze(1)
        choose = self._choose_by_groups if self._beams.groups > 1 else self._choose
        self._totals, parents, tokens = choose(totals)
        self._steps.append((parents, tokens) if logprobs is None else (parents, tokens, logprobs[parents, tokens]))
        return parents, tokens

    def _choose_by_groups(self, totals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``_choose`` for each group in turn, whose tokens are made less likely for the groups after it."""
        chosen: list[tuple[torch.Tensor, ...]] = []
        counts = totals.new_zeros(totals.shape[1])
        for group in range(self._beams.groups):
            own = totals[group * self._size : (group + 1) * self._size]
            group_totals, parents, tokens = self._choose(own - self._beams.diversity_penalty * counts, group)
            counts += torch.bincount(tokens, minlength=len(counts))
            chosen.append((group_totals, group * self._size + parents, tokens))
        joined, parents, tokens = (torch.cat(parts) for parts in zip(*chosen, strict=True))
        return joined, parents, tokens

    def _choose(self, totals: torch.Tensor, group: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Totals, parents and tokens of the texts of a group to follow, the best first, from (rows, vocabulary).

        Parents are counted from the first row of the group.
        """
        best, places = totals.view(-1).topk(self._size)
        parents, tokens = self._row_and_token.index_select(1, places).unbind()
        if self._end_id in tokens.tolist():
            best, places = self._without_ends(totals, group)
            parents, tokens = self._row_and_token.index_select(1, places).unbind()
        ended = self._ended[group]
        if len(ended) == self._size and ended[-1].score >= self._score(float(best[0]), self.length + 1):
            self._done[group] = True
        return best, parents, tokens

    def _without_ends(self, totals: torch.Tensor, group: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Totals and places, (size,) each, of the best texts that do not end; those that end are kept if they are good.

        Where too few are left, the rows are filled with texts that end, which are not followed: their total is -inf.
        """
        best, places = totals.view(-1).topk(min(2 * self._size, totals.numel()))
        ends = places % totals.shape[1] == self._end_id
        for rank in ends[: self._size].nonzero().flatten().tolist():
            total, row = float(best[rank]), int(places[rank]) // totals.shape[1]
            if total > -torch.inf and not self._done[group]:
                end = _End(self._score(total, self.length + 1), self.length, group * self._size + row)
                self._keep(group, end)
        order = ends.int().argsort(stable=True)[: self._size]  # those that end come last
        return best.masked_fill(ends, -torch.inf)[order], places[order]

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
                ends.append(_End(self._score(total, self.length), self.length, row))
        columns = [torch.stack(parts).tolist() for parts in zip(*self._steps, strict=True)]  # (steps, rows) each
        found: dict[tuple[int, ...], Found] = {}
        for end in sorted(ends, key=lambda one: -one.score):
            one = _traced(end, *columns)
            found.setdefault(tuple(one.tokens), one)
            if len(found) == most:
                break
        return list(found.values())


def _traced(
    end: _End, parents: list[list[int]], tokens: list[list[int]], logprobs: list[list[float]] | None = None
) -> Found:
    """The text that leads to an end, found from its last token to the first."""
    row, rows = end.row, []
    for step in reversed(range(end.step)):
        rows.append((step, row))
        row = parents[step][row]
    path = rows[::-1]
    wanted = [] if logprobs is None else [logprobs[step][row] for step, row in path]
    return Found(end.score, [tokens[step][row] for step, row in path], wanted)
