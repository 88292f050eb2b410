"""Sampling the next token from the logits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Self

import numpy as np
import torch

from textloom.config import GenerateConfig
from textloom.generation.history import Adjustment, Bans, Penalties

COLDEST, HOTTEST = 1e-30, 1e30  # temperatures by which float32 can divide the logits
SEED_BITS = 53  # of a derived seed: every JSON reader keeps integers of this size
BLOCK = 4096  # tokens of each text whose random numbers are made at once

Filter = Callable[[torch.Tensor], torch.Tensor]
"""Probabilities, (rows, vocabulary) -> the same, zero for tokens that are left out; not normalized again."""


@dataclass(frozen=True)
class Sampling:
    """Settings for drawing the next token from the logits. Each field is a key of ``GenerateConfig``, too."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_k: int | None = None
    """Draw from the k likeliest tokens only (Fan et al. 2018, arXiv 1805.04833)."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability (Holtzman et al. 2019, arXiv 1904.09751)."""
    min_p: float | None = None
    """Draw from tokens with at least this share of the highest probability (Nguyen et al. 2024, arXiv 2407.01082)."""
    typical_p: float | None = None
    """Draw from tokens with this total probability whose information is nearest to the entropy (Meister et al. 2023,
    "Locally typical sampling", arXiv 2202.00666)."""
    repetition_penalty: float = 1.0
    """Makes tokens that were read or drawn before less likely (Keskar et al. 2019, arXiv 1909.05858)."""
    presence_penalty: float = 0.0
    """Subtracted from the logits of tokens that were drawn before."""
    frequency_penalty: float = 0.0
    """Subtracted from the logits of tokens, times how often they were drawn."""
    no_repeat_ngram_size: int | None = None
    """No n-gram of this length is drawn twice (Paulus et al. 2017, arXiv 1705.04304)."""

    @classmethod
    def of(cls, config: GenerateConfig) -> Self:
        """The sampling that a config asks for."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class TokenRules:
    """Changes of the scores that apply to every text, independent of the tokens drawn before."""

    end_id: int | None = None
    """Drawn if every other token is banned: the text ends there."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Sequences of tokens that are never completed."""
    bias: tuple[tuple[int, float], ...] = ()
    """(token, number added to its logit)."""
    grammar: Callable[[int], Adjustment] | None = None
    """Builds the constraint, for a number of rows, that allows only texts of a given form."""


NO_RULES = TokenRules()


class TokenSampler:
    """Draws a token for each row of logits; each row has its own sampling."""

    def __init__(
        self,
        samplings: Sequence[Sampling],
        vocabulary_size: int,
        device: torch.device,
        rules: TokenRules = NO_RULES,
    ):
        def column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, device=device)[:, None]

        # MPS has no float64; elsewhere it keeps the sum over a large vocabulary from losing the rare tokens
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self.device = device
        self.greedy = np.array([sampling.temperature == 0 for sampling in samplings])
        self._sharpness = column([1 / min(max(sampling.temperature, COLDEST), HOTTEST) for sampling in samplings])
        kept = [min(sampling.top_k or vocabulary_size, vocabulary_size) for sampling in samplings]
        self._most_kept = max(kept) if min(kept) < vocabulary_size else None
        self._weakest = torch.tensor(kept, device=device)[:, None] - 1
        self._filters: list[Filter] = []
        shares = [inf if sampling.top_p in (None, 1) else sampling.top_p for sampling in samplings]
        if min(shares) < inf:
            self._filters.append(_Nucleus(column(shares)))
        least = [sampling.min_p or 0.0 for sampling in samplings]
        if max(least) > 0:
            self._filters.append(_AtLeast(column(least)))
        masses = [inf if sampling.typical_p in (None, 1) else sampling.typical_p for sampling in samplings]
        if min(masses) < inf:
            self._filters.append(_Typical(column(masses)))
        self._adjustments = _adjustments(samplings, vocabulary_size, device, rules)
        self._end_id = rules.end_id

    @property
    def remembers(self) -> bool:
        """True if scores depend on tokens that were drawn before, so that ``begin`` needs the prompts."""
        return bool(self._adjustments)

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Set what each row has read before the first draw."""
        for adjustment in self._adjustments:
            adjustment.begin(prompts)

    def uniforms(self, seeds: Sequence[int], length: int) -> torch.Tensor:
        """Random numbers in [0, 1) for ``length`` draws, (length, rows, 1); those of a row depend only on its seed."""
        return next(self.uniform_blocks(seeds, length, length))

    def uniform_blocks(self, seeds: Sequence[int], length: int, block: int = BLOCK) -> Iterator[torch.Tensor]:
        """The same in blocks of so many draws, one after the other."""
        generators = [random_numbers(seed) for seed in seeds]
        limit = 1 - torch.finfo(self.dtype).eps  # in float32 the largest numbers would round to 1
        for begin in range(0, length, block):
            rows = [generator.random(min(block, length - begin)) for generator in generators]
            drawn = np.stack(rows, axis=1)[:, :, None]
            drawn[:, self.greedy] = 0.0  # the first of equally likely tokens, as argmax does
            yield torch.from_numpy(drawn).to(self.dtype).clamp_(max=limit).to(self._sharpness.device)

    def draw(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Token ids, (rows,), by inverse transform sampling from (rows, vocabulary) logits and (rows, 1) uniforms."""
        if self._adjustments:
            logits = self.adjusted(logits)
        scaled = logits * self._sharpness
        if self._most_kept is not None:
            weakest = scaled.topk(self._most_kept).values.gather(1, self._weakest)
            scaled = scaled.masked_fill(scaled < weakest, float("-inf"))
        probabilities = scaled.softmax(dim=1)
        for narrow in self._filters:
            probabilities = narrow(probabilities)
        cumulative = probabilities.cumsum(dim=1, dtype=self.dtype)
        tokens = torch.searchsorted(cumulative, uniforms * cumulative[:, -1:], right=True).squeeze(1)
        for adjustment in self._adjustments:
            adjustment.note(tokens)
        return tokens

    def follow(self, parents: torch.Tensor, tokens: torch.Tensor) -> None:
        """Give row k the history of row ``parents[k]``, followed by the token ``tokens[k]``."""
        for adjustment in self._adjustments:
            adjustment.select(parents)
            adjustment.note(tokens)

    def adjusted(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits with penalties, bias and bans; a row in which nothing is left can only end."""
        logits = logits.clone()
        for adjustment in self._adjustments:
            adjustment.apply(logits)
        if self._end_id is not None:
            over = (logits == -inf).all(dim=1)
            logits[:, self._end_id] = logits[:, self._end_id].masked_fill(over, 0.0)
        return logits


def random_numbers(seed: int) -> np.random.Generator:
    """The generator of the random numbers of a text, one for each token."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))


def text_seeds(seed: int | None, count: int) -> list[int]:
    """A seed for each of ``count`` texts: the first has ``seed`` itself, or a new one; the others follow from it."""
    sequence = np.random.SeedSequence(seed)
    first = _small(sequence) if seed is None else seed
    children = np.random.SeedSequence(first).spawn(count)[1:]
    return [first, *map(_small, children)]


def _small(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(64 - SEED_BITS))


def _adjustments(
    samplings: Sequence[Sampling], vocabulary_size: int, device: torch.device, rules: TokenRules
) -> list[Adjustment]:
    """Adjustments of the logits before the temperature is applied; empty for the usual samplings."""
    found: list[Adjustment] = []
    penalties = [(one.repetition_penalty, one.presence_penalty, one.frequency_penalty) for one in samplings]
    if any(one != (1.0, 0.0, 0.0) for one in penalties):
        found.append(Penalties(penalties, vocabulary_size, device))
    sizes = [one.no_repeat_ngram_size for one in samplings]
    if rules.banned or rules.bias or any(sizes):
        found.append(Bans(rules.banned, rules.bias, sizes, vocabulary_size, device))
    if rules.grammar is not None:
        found.append(rules.grammar(len(samplings)))
    return found


# --- filters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Nucleus:
    """The smallest set of tokens that has a share of the probability."""

    shares: torch.Tensor  # (rows, 1); infinite to keep all

    def __call__(self, probabilities: torch.Tensor) -> torch.Tensor:
        ordered, order = probabilities.sort(dim=1, descending=True)
        before = ordered.cumsum(dim=1) - ordered  # probability of all likelier tokens; 0 for the likeliest
        return torch.zeros_like(probabilities).scatter(1, order, ordered.masked_fill(before >= self.shares, 0.0))


@dataclass(frozen=True)
class _AtLeast:
    """Tokens with at least a share of the highest probability."""

    shares: torch.Tensor  # (rows, 1)

    def __call__(self, probabilities: torch.Tensor) -> torch.Tensor:
        highest = probabilities.amax(dim=1, keepdim=True)
        return probabilities.masked_fill(probabilities < self.shares * highest, 0.0)


@dataclass(frozen=True)
class _Typical:
    """The tokens whose information, -log p, is nearest to its mean, the entropy, up to a share of the probability."""

    masses: torch.Tensor  # (rows, 1); infinite to keep all

    def __call__(self, probabilities: torch.Tensor) -> torch.Tensor:
        normal = probabilities / probabilities.sum(dim=1, keepdim=True)
        information = -normal.log()
        entropy = torch.special.entr(normal).sum(dim=1, keepdim=True)
        order = (information - entropy).abs().argsort(dim=1, stable=True)  # tokens without probability come last
        shares = normal.gather(1, order)
        before = shares.cumsum(dim=1) - shares
        kept = probabilities.gather(1, order).masked_fill(before >= self.masses, 0.0)
        return torch.zeros_like(probabilities).scatter(1, order, kept)
