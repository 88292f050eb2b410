"""Texts drawn side by side in a fixed number of rows, each with its own settings and random numbers.

Matrix products of another number of rows are rounded differently. So every step computes all rows, used or not: the
numbers of a text then do not depend on the texts beside it, nor on the row that it has, and it can be drawn again
alone, to the last digit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from textloom.generation.history import Penalties
from textloom.generation.reading import Reading
from textloom.generation.sampling import Sampling, TokenSampler, random_numbers
from textloom.models.language_model import Decoder, LanguageModel


@dataclass(frozen=True)
class Drawing:
    """The settings of a text."""

    sampling: Sampling
    seed: int
    begins: bool = False
    """True if a document begins here, so that it has at least one token."""
    logprobs: int | None = None
    """Number of the likeliest tokens whose log-probabilities are wanted; None for no log-probabilities."""
    bias: tuple[tuple[int, float], ...] = ()
    """(token, number added to its logit)."""
    prompt: tuple[int, ...] = ()
    """Tokens that the repetition penalty counts from the beginning."""

    @property
    def penalties(self) -> tuple[float, float, float]:
        """Repetition, presence and frequency penalty."""
        one = self.sampling
        return one.repetition_penalty, one.presence_penalty, one.frequency_penalty

    @property
    def is_adjusted(self) -> bool:
        """True if penalties or a bias change the scores."""
        return bool(self.bias) or self.penalties != NO_PENALTIES

    @property
    def plain_sampling(self) -> Sampling:
        """The sampling without penalties."""
        repetition, presence, frequency = NO_PENALTIES
        return replace(
            self.sampling, repetition_penalty=repetition, presence_penalty=presence, frequency_penalty=frequency
        )


NO_PENALTIES = (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Drawn:
    """The tokens drawn in a row in some steps."""

    tokens: list[int]
    logprobs: list[float]
    """One for each token; empty if they are not wanted."""
    likeliest: list[list[tuple[int, float]]]
    """For each token the likeliest ones at its place, with their log-probabilities."""


@dataclass
class _Row:
    drawing: Drawing
    unread: list[int]
    """Tokens that are read before the next one is drawn; at least one."""
    random: np.random.Generator = field(init=False)
    begins: bool = field(init=False)
    drawn: list[int] = field(init=False, default_factory=list)
    """Kept if the scores are adjusted."""

    def __post_init__(self) -> None:
        self.random, self.begins = random_numbers(self.drawing.seed), self.drawing.begins


class Rows:
    """A decoder with a fixed number of rows that texts enter and leave between steps."""

    def __init__(self, model: LanguageModel, count: int, window: int | None, never: int | None, end: int):
        state = None if window else model.initial_state(1)
        self.decoder: Decoder = model.decoder(count, window, never, state)
        self._rows: list[_Row | None] = [None] * count
        self._vocabulary_size, self._end = model.vocabulary_size, end
        self._sampler: TokenSampler | None = None

    @property
    def free(self) -> list[int]:
        """The rows without a text."""
        return [number for number, row in enumerate(self._rows) if row is None]

    def enter(self, number: int, reading: Reading, drawing: Drawing) -> None:
        """Assign a row to a text, with the state after its prompt."""
        self.decoder.place(number, reading.state)
        self._rows[number] = _Row(drawing, list(reading.pending))
        self._sampler = None

    def leave(self, number: int) -> None:
        """Free a row."""
        self._rows[number] = None
        self._sampler = None

    def unread(self, number: int) -> int:
        """Tokens that a row has to read before its next one is drawn."""
        row = self._rows[number]
        return 0 if row is None else len(row.unread)

    def step(self, steps: int) -> dict[int, Drawn]:
        """Read a token in each row and draw the next one, ``steps`` times. Returns the tokens of each used row."""
        used = {number: row for number, row in enumerate(self._rows) if row is not None}
        if self._sampler is None:
            samplings = [Sampling() if row is None else row.drawing.plain_sampling for row in self._rows]
            self._sampler = TokenSampler(samplings, self._vocabulary_size, self.decoder.device)
        plan = _Plan(len(self._rows), steps, used, self._sampler, self._end)
        most = max((row.drawing.logprobs or 0 for row in used.values()), default=0)
        wanted = any(row.drawing.logprobs is not None for row in used.values())
        tokens, chosen, best = self._compute(plan, min(most, self._vocabulary_size) if wanted else None)
        found = {}
        for number, row in used.items():
            first = plan.first[number]
            row.unread = [*row.unread[steps:]] if first >= steps else [tokens[number][-1]]
            row.begins = row.begins and first >= steps
            if row.drawing.is_adjusted:
                row.drawn += tokens[number][first:]
            logprobs: list[float] = []
            likeliest: list[list[tuple[int, float]]] = []
            if row.drawing.logprobs is not None:
                logprobs = chosen[number][first:]
                likeliest = [one[number][: row.drawing.logprobs] for one in best[first:]]
            found[number] = Drawn(tokens[number][first:], logprobs, likeliest)
        return found

    def _compute(
        self, plan: "_Plan", most: int | None
    ) -> tuple[list[list[int]], list[list[float]], list[list[list[tuple[int, float]]]]]:
        """Tokens and log-probabilities by row, and the ``most`` likeliest tokens by step and row."""
        assert self._sampler is not None
        adjusting = _Adjusting.of(plan, self._vocabulary_size)
        tokens, drawn, chosen, best = plan.forced[0], [], [], []
        for step, uniforms in enumerate(plan.uniforms.unbind()):
            if step and (forced := plan.is_forced[step]) is not None:
                tokens = torch.where(forced, plan.forced[step], tokens)
            self.decoder.read(tokens)
            scores = self.decoder.score()
            if (beginning := plan.beginning.get(step)) is not None:
                scores = scores.clone()
                scores[beginning, self._end] = -torch.inf
            tokens = self._sampler.draw(scores if adjusting is None else adjusting.adjusted(scores), uniforms)
            if adjusting is not None:
                adjusting.note(tokens, step)
            drawn.append(tokens)
            if most is not None:
                logprobs = scores.log_softmax(dim=1)
                chosen.append(logprobs.gather(1, tokens[:, None]).squeeze(1))
                best.append(likeliest_tokens(logprobs, most))
        return torch.stack(drawn, dim=1).tolist(), torch.stack(chosen, dim=1).tolist() if chosen else [], best


class _Plan:
    """The inputs of some steps, by step and row."""

    def __init__(self, rows: int, steps: int, used: dict[int, _Row], sampler: TokenSampler, end: int):
        forced = np.full((steps, rows), -1, dtype=np.int64)  # -1: the token that was drawn last
        forced[0] = end  # which free rows read
        uniforms = np.zeros((steps, rows, 1))
        self.first: dict[int, int] = {}
        """For each row the step in which its first token is drawn."""
        self.beginning: dict[int, list[int]] = {}
        """For each step that begins documents, the rows in which it does."""
        for number, row in used.items():
            some = row.unread[:steps]
            forced[: len(some), number] = some
            first = self.first[number] = len(row.unread) - 1
            if first < steps:
                if row.drawing.sampling.temperature:  # else the first of equally likely tokens, as argmax does
                    uniforms[first:, number, 0] = row.random.random(steps - first)
                if row.begins:
                    self.beginning.setdefault(first, []).append(number)
        device = sampler.device
        self.adjusted = {number: row for number, row in used.items() if row.drawing.is_adjusted}
        self.forced = torch.from_numpy(forced).to(device)
        """(steps, rows) token ids."""
        forcing = set(np.flatnonzero((forced >= 0).any(axis=1)).tolist())
        masks = (self.forced >= 0).unbind()
        self.is_forced = [mask if step in forcing else None for step, mask in enumerate(masks)]
        """For each step the rows whose tokens are given, (rows,); None if there are none."""
        limit = 1 - torch.finfo(sampler.dtype).eps
        self.uniforms = torch.from_numpy(uniforms).to(sampler.dtype).clamp_(max=limit).to(device)
        """(steps, rows, 1)."""


class _Adjusting:
    """Changes the scores of the rows that have penalties or a bias, and no others."""

    def __init__(self, rows: Mapping[int, _Row], first: Mapping[int, int], vocabulary_size: int, device: torch.device):
        self._rows = torch.tensor([*rows], device=device)
        self._first = torch.tensor([first[number] for number in rows], device=device)
        drawings = [row.drawing for row in rows.values()]
        self._penalties = Penalties([drawing.penalties for drawing in drawings], vocabulary_size, device)
        self._penalties.begin([drawing.prompt for drawing in drawings], [row.drawn for row in rows.values()])
        self._bias = torch.zeros(len(rows), vocabulary_size, device=device)
        for number, drawing in enumerate(drawings):
            for token, bias in drawing.bias:
                self._bias[number, token] = bias

    @classmethod
    def of(cls, plan: _Plan, vocabulary_size: int) -> "_Adjusting | None":
        """The adjustment of the rows of a plan; None, at no cost, if there is nothing to adjust."""
        return cls(plan.adjusted, plan.first, vocabulary_size, plan.forced.device) if plan.adjusted else None

    def adjusted(self, scores: torch.Tensor) -> torch.Tensor:
        """The scores, (rows, vocabulary), with those of the rows changed."""
        own = scores[self._rows]
        self._penalties.apply(own)
        return scores.index_copy(0, self._rows, own + self._bias)

    def note(self, tokens: torch.Tensor, step: int) -> None:
        """Note the tokens, (rows,), that were drawn in a step; rows that still read have drawn none."""
        self._penalties.note(tokens[self._rows], self._first <= step)


def likeliest_tokens(logprobs: torch.Tensor, most: int) -> list[list[tuple[int, float]]]:
    """For each row of log-probabilities the likeliest tokens, the first one first; without impossible ones."""
    values, ids = logprobs.topk(most, dim=1)
    pairs = zip(ids.tolist(), values.tolist(), strict=True)
    return [[one for one in zip(*pair, strict=True) if one[1] > -torch.inf] for pair in pairs]
