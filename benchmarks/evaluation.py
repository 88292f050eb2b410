"""Evaluation of models that adapt: dynamic evaluation and the continuous cache, against one static pass.

The text is made up. WikiText-2's test split has 245,569 targets, which its small model is to score in 10 minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.fit import composed, made_up_tokens
from benchmarks.rows import Row, in_turns
from textloom.data.encoding import TokenSplit
from textloom.evaluation.adaptation import Adaptation, CacheSettings, DynamicSettings, Method
from textloom.evaluation.dynamic import moving_weights
from textloom.evaluation.evaluator import Scorer
from textloom.evaluation.protocols import Protocol
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.system.cpu import denormals_flushed, memory_kept

WIKITEXT_TARGETS, LIMIT = 245_569, 600.0  # of the test split; seconds
STATIC = Method(Protocol("stream"))
DYNAMIC = Adaptation(dynamic=DynamicSettings(learning_rate=1e-3, decay=2e-3, epsilon=1e-3, steps=20))
# as in experiment=wikitext2_small
WIKITEXT = ["model.tied_weights=true", "model.output_projection=true", "model.residual=true"]
CACHE = Adaptation(cache=CacheSettings(size=2000, weight=0.1, sharpness=0.3))


@dataclass(frozen=True)
class Size:
    """A model, and the text that it is scored on."""

    label: str
    vocabulary: int
    units: int
    layers: int
    embedding: int | None
    targets: int
    is_wikitext: bool = False


def main(quick: bool = False) -> list[Row]:
    """Rows for the CPU."""
    label = "WikiText-2, 2 x 200 tied, residual, vocabulary 33,278"
    word = Size(label, 33_278, 200, 2, 200, 2_000, is_wikitext=True)
    char = Size("LSTM 512, char (65)", 65, 512, 1, 64, 10_000)
    if quick:
        word = Size(label, 50, 8, 2, 4, 100, is_wikitext=True)
        char = Size(char.label, 20, 8, 1, 8, 100)
    with denormals_flushed(), memory_kept():  # as ``textloom evaluate`` does
        return [row for size in (word, char) for row in _rows(size, 1 if quick else 5)]


def _rows(size: Size, turns: int) -> Iterator[Row]:
    scorer, split = _scorer(size), _text(size)
    for name, adaptation in (("dynamic evaluation", DYNAMIC), ("continuous cache", CACHE)):
        method = Method(STATIC.protocol, adaptation)
        both = in_turns(lambda: scorer.score(method, split), lambda: scorer.score(STATIC, split), turns)  # noqa: B023
        ours, static = size.targets / both.ours, size.targets / both.theirs
        note = f"{torch.get_num_threads()} threads"
        yield Row(f"{name}, {size.label}", "one static pass", ours, static, "targets/s", both.speedup, None, note=note)
        if size.is_wikitext:
            needed = WIKITEXT_TARGETS / LIMIT
            yield Row(
                f"{name}, {size.label}", "its test split in 10 minutes", ours, needed, "targets/s", ours / needed, 1.0,
                note=note,
            )  # fmt: skip


def _scorer(size: Size) -> Scorer:
    """A model as it is before training, which costs what a trained one costs."""
    config = composed(
        f"model.units={size.units}", f"model.layers={size.layers}", f"model.embedding_dim={size.embedding}",
        *(WIKITEXT if size.is_wikitext else []),
    ).model  # fmt: skip
    scorer = Scorer(RecurrentLanguageModel(config, size.vocabulary).eval(), rows=1)
    scorer.rms = [torch.full_like(weight, 1e-3) for weight in moving_weights(scorer.model)]
    return scorer


def _text(size: Size) -> TokenSplit:
    tokens = made_up_tokens(size.vocabulary)[: size.targets + 1]
    return TokenSplit(tokens, np.array([0, size.targets]), characters=size.targets, unknown=0, spelling_nats=0.0)
