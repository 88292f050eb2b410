"""Sampled softmax: the model that is best by it is the one that is best by the whole softmax."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conftest import compose_train, train_run
from textloom.errors import ConfigError
from textloom.training import fitting
from textloom.training.objective import Objective
from textloom.training.sampled_softmax import SampledSoftmax, inclusion_probabilities

WORDS, UNITS, TARGETS = 300, 6, 64


def zipf() -> torch.Tensor:
    """Frequencies of words as in a text, (words,) float64."""
    weights = 1 / torch.arange(1, WORDS + 1, dtype=torch.float64)
    return weights / weights.sum()


def sampled(samples: int) -> SampledSoftmax:
    torch.manual_seed(0)
    return SampledSoftmax((zipf() * 1e6).numpy(), samples)


@pytest.mark.parametrize("samples", [1, 20, 299])
def test_as_many_words_are_drawn_as_are_asked_for(samples: int) -> None:
    weights = zipf() ** 0.75
    pi = inclusion_probabilities(weights, samples)
    assert pi.sum().item() == pytest.approx(samples)
    assert pi.max() <= 1
    below = pi < 1
    assert torch.allclose(pi[below] / pi[-1], weights[below] / weights[-1])
    chosen = [len(sampled(samples).draw(torch.tensor([0])).tokens) for _ in range(3)]
    assert all(abs(number - samples) <= 1 + 5 * samples**0.5 for number in chosen)


def test_targets_are_always_candidates() -> None:
    targets = torch.tensor([299, 0, 150, 299])
    candidates = sampled(3).draw(targets)
    assert torch.equal(candidates.tokens[candidates.targets], targets)
    assert len(candidates.tokens.unique()) == len(candidates.tokens)


def gradients(
    softmax: torch.nn.Linear, hidden: torch.Tensor, targets: torch.Tensor, objective: Objective
) -> torch.Tensor:
    loss, _ = objective(softmax, hidden, targets)
    gradient: torch.Tensor = torch.autograd.grad(loss, softmax.bias)[0]
    return gradient


def test_the_true_distribution_has_no_gradient_on_average() -> None:
    """A softmax that is right (its bias is the log of the frequencies) stays where it is; a wrong one does not."""
    torch.manual_seed(1)
    right = torch.nn.Linear(UNITS, WORDS, dtype=torch.float64)
    with torch.no_grad():
        right.weight.zero_()
        right.bias.copy_(zipf().log())
    wrong = torch.nn.Linear(UNITS, WORDS, dtype=torch.float64)
    with torch.no_grad():
        wrong.weight.zero_()
        wrong.bias.copy_(zipf().log() * 0.8)
    objective = Objective(sampled=sampled(30))
    sums = {}
    for name, softmax in {"right": right, "wrong": wrong}.items():
        draws = []
        for _ in range(600):
            targets = torch.multinomial(zipf(), TARGETS, replacement=True)
            draws.append(gradients(softmax, torch.zeros(TARGETS, UNITS, dtype=torch.float64), targets, objective))
        stacked = torch.stack(draws)  # (steps, words)
        groups = [stacked[:, a:b].sum(1) for a, b in [(0, 1), (1, 10), (10, 50), (50, 150), (150, 300)]]
        sums[name] = torch.stack([group.mean() / (group.std() / len(draws) ** 0.5) for group in groups])
    assert sums["right"].abs().max() < 4  # standard errors
    assert sums["wrong"].abs().max() > 10


def test_words_that_recur_in_a_row_change_nothing() -> None:
    """Each row has a topic, whose word is three of ten tokens, so that a target makes others in the batch likelier."""
    torch.manual_seed(3)
    topics, rows, steps = 20, 4, 16
    own = 100 + torch.arange(topics)  # the word of each topic
    distribution = (0.7 * zipf()).repeat(topics, 1)  # (topics, words)
    distribution[torch.arange(topics), own] += 0.3
    softmax = torch.nn.Linear(topics, WORDS, dtype=torch.float64)
    with torch.no_grad():
        softmax.weight.copy_(distribution.log().T)
        softmax.bias.zero_()
    objective = Objective(sampled=sampled(60))
    draws = []
    for _ in range(600):
        topic = torch.randint(topics, (rows,)).repeat_interleave(steps)
        targets = torch.multinomial(distribution[topic], 1).squeeze(1)
        loss, _ = objective(softmax, F.one_hot(topic, topics).double(), targets)
        gradient = torch.autograd.grad(loss, softmax.weight)[0]  # (words, topics)
        draws.append(gradient[own, torch.arange(topics)].sum())
    stacked = torch.stack(draws)
    assert abs(stacked.mean() / (stacked.std() / len(draws) ** 0.5)) < 4  # standard errors


def test_the_curve_shows_the_nats_of_the_whole_vocabulary() -> None:
    torch.manual_seed(2)
    softmax = torch.nn.Linear(UNITS, WORDS)
    with torch.no_grad():
        softmax.bias.copy_(zipf().log())
    hidden = torch.randn(4000, UNITS)
    exact, shown, objective = [], [], Objective(sampled=sampled(60))
    for _ in range(5):
        targets = torch.multinomial(F.softmax(softmax(hidden), dim=1), 1).squeeze(1)
        for rows, some in zip(hidden.split(200), targets.split(200), strict=True):
            shown.append(objective(softmax, rows, some)[1].item())
        exact.append(F.cross_entropy(softmax(hidden), targets).item())
    assert np.mean(shown) == pytest.approx(np.mean(exact), abs=0.02)


def test_as_many_samples_as_words_are_the_whole_softmax() -> None:
    config = compose_train("trainer.softmax_samples=300").trainer
    assert Objective.of(config, 300).sampled is None
    assert Objective.of(config, 301).sampled is not None


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A text of 500 words that follow each other by a rule."""
    random = np.random.default_rng(0)
    firsts = random.zipf(1.3, size=2500) % 250
    (tmp_path / "text.txt").write_text(" ".join(f"a{first} b{(7 * first) % 250}" for first in firsts))
    return [
        f"data.path={tmp_path / 'text.txt'}", "data=text_files", "tokenizer=word", "tokenizer.minimum_frequency=1",
        "batching=stream", "trainer.max_epochs=6", "model.units=32", "optimizer.learning_rate=0.02",
    ]  # fmt: skip


def test_training_by_samples_learns_what_training_by_all_words_learns(words: list[str], tmp_path: Path) -> None:
    whole = train_run(tmp_path / "whole", *words).results()
    samples = train_run(tmp_path / "samples", *words, "trainer.softmax_samples=150").results()
    unigrams = 4.5
    assert whole["val/loss"] < unigrams - 0.5
    assert samples["val/loss"] == pytest.approx(whole["val/loss"], abs=0.1)


@pytest.mark.parametrize("overrides", [[], ["trainer.softmax_samples=150"], ["model.softmax_cutoffs=[100]"]])
def test_a_large_vocabulary_that_is_scored_as_a_whole_is_told_how_to_train_faster(
    overrides: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fitting, "LARGE_VOCABULARY", 200)
    with caplog.at_level("INFO"):
        train_run(tmp_path / "run", *words, "trainer.max_epochs=1", *overrides)
    assert ("trainer.softmax_samples=4096 is faster on a CPU" in caplog.text) == (not overrides)


def test_samples_and_clusters_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"softmax_samples=100 needs one softmax.*leave one of them out"):
        compose_train("trainer.softmax_samples=100", "model.softmax_cutoffs=[20]")
