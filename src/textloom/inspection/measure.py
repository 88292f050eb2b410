"""All measurements of a model on a text, made in one pass over it."""

from dataclasses import dataclass, field

import numpy as np
import torch

from textloom.inspection.embeddings import CANDIDATES, frequent_tokens, frequent_words, nearest_neighbours
from textloom.inspection.features import text_features
from textloom.inspection.gates import GateTally, GateUse
from textloom.inspection.gradients import gradient_norms
from textloom.inspection.reading import ReadingMode, Steps, read_stretch, state_row
from textloom.inspection.text import InspectedText
from textloom.inspection.tracking import Tracked, rank_units
from textloom.inspection.units import Units
from textloom.models.language_model import LanguageModel
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State
from textloom.system.progress import advance
from textloom.tokenizers import Tokenizer

MOST_ACTIVATIONS = 1 << 26
"""Tokens times units in memory: 256 MB of float32."""
GRADIENT_TARGETS = 64
NGRAM_TARGETS_AT_ONCE = 64
NEIGHBOURS, WORDS = 8, 40


@dataclass(frozen=True)
class Neighbours:
    """A token and the tokens whose embeddings are most similar to its own."""

    token: int
    nearest: list[tuple[int, float]]
    """Tokens and cosines."""


@dataclass(frozen=True)
class Inspection:
    """The results of an inspection."""

    text: InspectedText
    reading: ReadingMode
    nats: np.ndarray
    """(tokens,) float64: the surprise at each token."""
    likeliest: np.ndarray
    """(tokens,): the token that was predicted."""
    unit_names: list[str] = field(default_factory=list)
    """Empty for an n-gram model, which has no units."""
    activations: torch.Tensor | None = None
    """(tokens, units) float32: the units after each token."""
    left_out: list[str] = field(default_factory=list)
    """Parts of the state that are too large to be shown."""
    tracked: list[Tracked] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    """Features that are the same at every token of this text."""
    gates: list[GateUse] = field(default_factory=list)
    """Empty for a cell without gates."""
    keeping_gate: str | None = None
    """The gate that keeps the state."""
    gradient: np.ndarray | None = None
    """(distance,): the mean norm of the gradient of a loss with respect to the input at distance 1, 2 and so on."""
    gradient_targets: int = 0
    """Number of targets in the mean."""
    neighbours: list[Neighbours] | None = None
    """None for a model without an embedding."""

    @property
    def loss(self) -> float:
        """Nats per token."""
        return float(self.nats.mean())


def inspect_network(
    model: RecurrentLanguageModel,
    tokenizer: Tokenizer,
    text: InspectedText,
    *,
    reading: ReadingMode,
    distance: int,
    counts: np.ndarray,
) -> Inspection:
    """Measure surprise, units, gates, gradients up to a distance in tokens, and embeddings.

    ``counts`` (vocabulary,) says which tokens are frequent, whose embeddings are compared.
    """
    pass_ = _Pass(model, text, reading, distance)
    pass_.run()
    features = text_features(text)
    tracked = rank_units(pass_.activations, features)
    gradient, targets = pass_.gradient.mean_norms()
    return Inspection(
        text,
        reading,
        pass_.nats,
        pass_.likeliest,
        unit_names=pass_.units.names,
        activations=pass_.activations,
        left_out=pass_.units.left_out,
        tracked=tracked,
        constant=[name for name in features if name not in {one.feature for one in tracked}],
        gates=pass_.gates.uses(),
        keeping_gate=model.recurrence.keeping_gate,
        gradient=gradient,
        gradient_targets=targets,
        neighbours=_neighbours(model, tokenizer, counts),
    )


class _Pass:
    """One pass over the text: what is collected at every step."""

    def __init__(self, model: RecurrentLanguageModel, text: InspectedText, reading: ReadingMode, distance: int):
        self.model, self.text, self.reading = model, text, reading
        self.units = Units(model, MOST_ACTIVATIONS // len(text))
        self.nats = np.zeros(len(text))
        self.likeliest = np.zeros(len(text), dtype=np.int64)
        self.activations = torch.zeros(len(text), len(self.units.names))
        self.gates = GateTally()
        self.gradient = _GradientSample(model, text, reading, distance)

    def run(self) -> None:
        for begin, end in self.reading.stretches(self.text):
            ids = self.text.tokens[begin : end + 1]
            for steps in read_stretch(self.model, ids, self.reading.window):
                self._add(begin, ids, steps)
                self.gradient.add(begin, end, steps)
                advance(len(steps.tokens))

    @torch.no_grad()
    def _add(self, begin: int, ids: np.ndarray, steps: Steps) -> None:
        """Step j of a stretch reads its token j, the activations at which belong to predicted token begin + j - 1."""
        rows = min(len(steps.tokens), len(ids) - 1 - steps.first)  # the last token of a stretch predicts nothing
        predicted = slice(begin + steps.first, begin + steps.first + rows)
        targets = torch.from_numpy(ids[steps.first + 1 : steps.first + 1 + rows])
        if rows:
            nats, likeliest = self.model.nats_and_argmax(steps.hidden[:rows], targets)
            self.nats[predicted], self.likeliest[predicted] = nats.double().numpy(), likeliest.numpy()
        skipped = steps.first == 0  # the token before the text
        first = begin + steps.first + skipped - 1
        values = self.units.of(steps)[skipped:]
        self.activations[first : first + len(values)] = values
        self.gates.add(self.model, steps)


class _GradientSample:
    """Targets all over the text, and the states from which their last inputs are read."""

    def __init__(self, model: RecurrentLanguageModel, text: InspectedText, reading: ReadingMode, distance: int):
        self.model, self.text, self.window = model, text, reading.window
        stretches = reading.stretches(text)
        longest = max(end - begin for begin, end in stretches)
        self.distance = min(distance, longest, *([] if reading.window is None else [reading.window]))
        # step of the first input, which is also its place among all tokens
        firsts = np.concatenate([np.arange(begin, end - self.distance + 1) for begin, end in stretches])
        chosen = np.unique(np.linspace(0, len(firsts) - 1, min(GRADIENT_TARGETS, len(firsts))).astype(int))
        self.firsts = firsts[chosen].tolist()
        self.states: dict[int, State] = {}

    def add(self, begin: int, end: int, steps: Steps) -> None:
        """Keep the states before the first inputs that are among these steps of a stretch."""
        if self.window is None:
            start = begin + steps.first
            for first in self.firsts:
                if start <= first < min(start + len(steps.tokens), end):
                    self.states[first] = state_row(self.model, steps.before, first - start)

    def mean_norms(self) -> tuple[np.ndarray, int]:
        """The mean norm at each distance from 1 on, (distance,), and the number of targets."""
        total = torch.zeros(self.distance, dtype=torch.float64)
        for first in self.firsts:
            read = torch.from_numpy(self.text.tokens[first : first + self.distance + 1])
            norms = gradient_norms(self.model, read[None, :-1], read[-1:], self.states.get(first))
            total += norms[0].double()
        return (total.flip(0) / len(self.firsts)).numpy(), len(self.firsts)


def inspect_ngrams(model: LanguageModel, text: InspectedText) -> Inspection:
    """Measure surprise alone, for a model without units."""
    ids = torch.from_numpy(text.tokens)
    hidden, _ = model(ids[None, :-1])
    parts = [
        model.nats_and_argmax(some, targets)
        for some, targets in zip(
            torch.split(hidden[0], NGRAM_TARGETS_AT_ONCE), torch.split(ids[1:], NGRAM_TARGETS_AT_ONCE), strict=True
        )
    ]
    nats, likeliest = (torch.cat(part) for part in zip(*parts, strict=True))
    return Inspection(text, ReadingMode(), nats.double().numpy(), likeliest.numpy())


def _neighbours(model: RecurrentLanguageModel, tokenizer: Tokenizer, counts: np.ndarray) -> list[Neighbours] | None:
    if model.embedding is None:
        return None
    frequent = frequent_tokens(tokenizer, counts, CANDIDATES)
    words = frequent_words(tokenizer, frequent, WORDS)
    if not words:
        return []
    found = nearest_neighbours(model.embedding.weight.detach(), words, frequent, NEIGHBOURS)
    return [Neighbours(token, nearest) for token, nearest in zip(words, found, strict=True)]
