"""Models that adapt while they are scored: exact where a setting switches them off, bounded, and never on disk."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_scoring import fitted
from torch.nn import functional as F

import textloom
from conftest import Answer, compose_train, train_run
from textloom.config.checking import config_directory
from textloom.data.encoding import TokenSplit, load_splits
from textloom.evaluation.adaptation import Adaptation, CacheSettings, DynamicSettings, Method, MixSettings
from textloom.evaluation.cache import ContinuousCache
from textloom.evaluation.dynamic import DynamicEvaluation, gradient_rms, moving_weights
from textloom.evaluation.evaluator import Scorer
from textloom.evaluation.kept import read_kept
from textloom.evaluation.protocols import Protocol
from textloom.evaluation.score import Score
from textloom.evaluation.token_scores import TokenScores
from textloom.evaluation.tuning import MOST_TRIALS, tune
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.ngram.fit import fit_order
from textloom.ngram.language_model import NgramLanguageModel
from textloom.reports.compare import compare_runs
from textloom.runs.run import Run
from textloom.system.files import file_checksum

Command = Callable[..., Answer]
STREAM = Method(Protocol("stream"))
STILL = DynamicSettings(learning_rate=0.0, decay=0.002, epsilon=1e-3, steps=7)
MOVING = DynamicSettings(learning_rate=0.003, decay=0.01, epsilon=1e-3, steps=8)
CACHE = CacheSettings(size=50, weight=0.2, sharpness=0.5)


def with_(**parts: object) -> Method:
    return replace(STREAM, adaptation=Adaptation(**parts))  # type: ignore[arg-type]


def scorer(tmp_path: Path) -> tuple[Scorer, TokenSplit]:
    model, part = fitted(tmp_path)
    found = Scorer(model, rows=4)
    found.rms = gradient_rms(model, part, MOVING.steps)
    return found, part


@pytest.fixture
def run(toy_run: Run, tmp_path: Path) -> Run:
    """A copy of the run on the toy text, which may keep evaluations."""
    shutil.copytree(toy_run.directory, tmp_path / "outputs/toy")
    return Run(Path("outputs/toy"))


# --- what a setting switches off changes nothing --------------------------------------------------------------------


def test_dynamic_evaluation_with_learning_rate_0_is_static_to_the_digit(tmp_path: Path) -> None:
    given, part = scorer(tmp_path)
    static = given.score(STREAM, part)
    assert given.score(with_(dynamic=STILL), part) == static
    hardly = given.score(with_(dynamic=replace(STILL, learning_rate=1e-12)), part)  # with gradients, in pieces of 7
    assert hardly.loss == pytest.approx(static.loss, rel=1e-6)
    assert hardly.accuracy == static.accuracy


@pytest.mark.parametrize(
    "parts", [{"cache": replace(CACHE, weight=0.0)}, {"temperature": 1.0}, {"mix": MixSettings("another", 0.0)}]
)
def test_a_weight_of_0_and_a_temperature_of_1_are_static_to_the_digit(parts: dict[str, object], tmp_path: Path) -> None:
    given, part = scorer(tmp_path)
    given.other = given.model
    assert given.score(with_(**parts), part) == given.score(STREAM, part)


def test_interpolation_with_weight_1_is_the_other_model_and_between_is_better_than_the_worse(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    end = int(part.tokens[0])
    ngrams = NgramLanguageModel(fit_order(part.tokens, model.vocabulary_size, end, order=3))
    given = Scorer(model, 4, ngrams)
    own, others = given.score(STREAM, part), Scorer(ngrams, 4).score(STREAM, part)
    whole = given.score(with_(mix=MixSettings("3-gram", 1.0)), part)
    assert whole.loss == pytest.approx(others.loss, rel=1e-6)
    assert whole.accuracy == pytest.approx(others.accuracy, abs=2 / part.targets)  # ties
    half = given.score(with_(mix=MixSettings("3-gram", 0.5)), part)
    assert half.loss < max(own.loss, others.loss)
    assert half.loss < -log(0.5) + min(own.loss, others.loss)


def test_interpolation_follows_every_protocol(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    ngrams = NgramLanguageModel(fit_order(part.tokens, model.vocabulary_size, int(part.tokens[0]), order=3))
    expected = Scorer(ngrams, 4).score(Method(Protocol("documents")), part)
    given = Scorer(model, 4, ngrams)
    for protocol in (Protocol("documents"), Protocol("sliding", 500)):
        found = given.score(Method(protocol, Adaptation(mix=MixSettings("3-gram", 1.0))), part)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert given.score(Method(Protocol("windows", 5), Adaptation(mix=MixSettings("3-gram", 1.0))), part) != expected


# --- by hand --------------------------------------------------------------------------------------------------------


def test_a_cache_computed_by_hand() -> None:
    """Three targets, two units, three words; the cache holds two pairs."""
    hidden = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    targets = torch.tensor([2, 0, 2, 1])
    model = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])
    found = ContinuousCache(CacheSettings(size=2, weight=0.25, sharpness=2.0)).mix(model.log(), hidden, targets).exp()
    assert torch.equal(found[0], model.log()[0].exp())  # nothing is in the cache yet
    cached = [[0.0, 0.0, 1.0]]  # after the first target, which was 2
    one, two = exp(2 * 1.0), exp(2 * 1.0)  # (1, 1) with (1, 0), followed by 2, and (0, 1), followed by 0
    cached.append([two / (one + two), 0.0, one / (one + two)])
    one, two = exp(2 * -1.0), exp(2 * 0.0)  # (1, -1) with (0, 1), followed by 0, and (1, 1), followed by 2
    cached.append([one / (one + two), 0.0, two / (one + two)])
    expected = 0.75 * model[1:] + 0.25 * torch.tensor(cached)
    assert torch.allclose(found[1:], expected, atol=1e-6)


def test_a_cache_does_not_depend_on_how_the_text_is_cut() -> None:
    torch.manual_seed(0)
    scores = F.log_softmax(torch.randn(300, 11), dim=1)
    hidden, targets = torch.randn(300, 4), torch.randint(0, 11, (300,))
    whole = ContinuousCache(CACHE).mix(scores, hidden, targets)
    cache = ContinuousCache(CACHE)
    parts = [cache.mix(*part) for part in zip(*(torch.split(x, 7) for x in (scores, hidden, targets)), strict=True)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-5)
    assert torch.allclose(whole.exp().sum(dim=1), torch.ones(300), atol=1e-5)
    assert cache.states is not None
    assert len(cache.states) == CACHE.size


def test_dynamic_evaluation_by_hand(tmp_path: Path) -> None:
    """Score first, then update, with the rule of the paper."""
    given, part = scorer(tmp_path)
    model, rms = given.model, given.rms
    assert rms is not None
    found = given.score(with_(dynamic=MOVING), part)
    weights = moving_weights(model)
    trained = [weight.detach().clone() for weight in weights]
    mean = torch.cat([one.flatten() for one in rms]).mean()
    tokens, total, state = torch.from_numpy(part.tokens.astype("int64")), 0.0, None
    for begin in range(0, part.targets, MOVING.steps):
        piece = tokens[begin : begin + MOVING.steps + 1]
        hidden, state = model(piece[None, :-1], state)
        state = tuple(one.detach() for one in state)
        loss = F.cross_entropy(model.logits(hidden)[0], piece[1:])
        total += loss.item() * (len(piece) - 1)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, g, G, w0 in zip(weights, gradients, rms, trained, strict=True):
                back = torch.minimum(torch.ones(()), MOVING.decay * G / mean)
                weight += -MOVING.learning_rate * g / (G + MOVING.epsilon) + back * (w0 - weight)
    assert found.loss == pytest.approx(total / part.targets, rel=1e-5)


def test_the_root_mean_square_is_that_of_the_gradients_of_the_training_text(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    steps = part.targets  # one piece
    tokens = torch.from_numpy(part.tokens.astype("int64"))
    loss = F.cross_entropy(model.logits(model(tokens[None, :-1])[0])[0], tokens[1:])
    for found, gradient in zip(
        gradient_rms(model, part, steps), torch.autograd.grad(loss, moving_weights(model)), strict=True
    ):
        assert torch.allclose(found, gradient.abs(), rtol=1e-3, atol=1e-7)


# --- promises -------------------------------------------------------------------------------------------------------


CELLS_SHIPPED = sorted({path.stem for path in (config_directory() / "model").glob("*.yaml")} - {"ngram"})


@pytest.mark.parametrize("model", CELLS_SHIPPED)
def test_every_cell_adapts_repeats_and_is_afterwards_as_it_was(model: str, tmp_path: Path) -> None:
    _, part = fitted(tmp_path)
    torch.manual_seed(1)
    units = compose_train(f"model={model}", "model.units=8").model
    network = RecurrentLanguageModel(units, int(part.tokens.max()) + 1).eval()
    before = {name: weight.clone() for name, weight in network.weights().items()}
    given = Scorer(network, rows=4)
    given.rms = gradient_rms(network, part, MOVING.steps)
    method = with_(dynamic=MOVING, cache=CACHE, temperature=0.9)
    first, again = given.score(method, part), given.score(method, part)
    assert first == again
    assert first.loss < given.score(STREAM, part).loss  # from weights that know nothing
    assert all(torch.equal(weight, before[name]) for name, weight in network.weights().items())


def test_the_cache_and_the_graph_stay_bounded_however_long_the_text(tmp_path: Path) -> None:
    given, part = scorer(tmp_path)
    long = replace(part, tokens=np.tile(part.tokens, 5), boundaries=np.array([0, 5 * len(part.tokens) - 1]))
    assert given.score(with_(dynamic=MOVING, cache=CACHE), long).targets == long.targets
    assert given.rms is not None
    moving = DynamicEvaluation(given.model, MOVING, given.rms)
    assert all(weight.grad is None for weight in moving.weights)


def test_the_run_on_disk_never_changes_and_the_settings_are_in_the_signature(run: Run) -> None:
    files = [path for path in run.directory.rglob("*") if path.is_file() and path != run.evaluations_file]
    before = {path: file_checksum(path) for path in files}
    loaded = textloom.load(run.directory)
    options = {"dynamic": True, "cache": True, "temperature": 0.9, "mix": "ngram"}
    first, again = (loaded.evaluate(**options) for _ in range(2))
    assert first == again
    assert first["test/loss"] < run.results()["test/loss"]
    assert before == {path: file_checksum(path) for path in files}
    method = first.signatures["test"].split("|")[3]
    assert method.startswith("protocol:stream+temperature(0.9)+dynamic(learning_rate=0.001,decay=0.002,epsilon=0.001,")
    assert "+cache(size=2000,weight=0.1,sharpness=0.3)+mix(9-gram,weight=0.3)" in method
    assert loaded.evaluate() == {name: run.results()[name] for name in first}  # the weights in memory are the run's


def test_tuning_sees_validation_alone_and_each_split_is_then_scored_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, scored = Scorer.score, []

    def score(self: Scorer, method: Method, part: TokenSplit, tokens: TokenScores | None = None) -> Score:
        scored.append((str(method), part.targets))
        return original(self, method, part, tokens)

    fixed = textloom.load(run.directory).evaluate(cache=True)
    monkeypatch.setattr(Scorer, "score", score)
    tuned = textloom.load(run.directory).evaluate(cache=True, tune=True, tune_targets=300)
    *trials, validation, test = scored
    assert {targets for _, targets in trials} == {300}
    assert len({method for method, _ in trials}) == len(trials) > 5
    splits = load_splits(run.tokens)
    assert [validation[1], test[1]] == [splits["val"].targets, splits["test"].targets]
    assert validation[0] == test[0] in {method for method, _ in trials}
    assert tuned.signatures["test"].split("|")[3] == f"protocol:{test[0]}"
    assert tuned["val/loss"] < fixed["val/loss"]
    assert read_kept(run)[-1].tuned


@pytest.mark.parametrize(
    ("options", "tuned_settings"),
    [
        ({"dynamic": True}, {"dynamic_learning_rate", "dynamic_decay"}),
        ({"mix": "ngram"}, {"mix_weight"}),
        ({"temperature": 1.5}, {"temperature"}),
    ],
)
def test_the_settings_of_every_method_are_tuned(options: dict[str, Any], tuned_settings: set[str], run: Run) -> None:
    loaded = textloom.load(run.directory)
    fixed, tuned = loaded.evaluate(**options), loaded.evaluate(**options, tune=True, tune_targets=None)
    assert tuned["val/loss"] < fixed["val/loss"]
    assert tuned.signatures["val"] != fixed.signatures["val"]
    before, after = read_kept(run)[-2:]
    assert (before.tuned, after.tuned) == (False, True)
    assert after.figures == tuned
    moved = {name for name, value in after.settings.items() if before.settings[name] != value}
    assert moved
    assert moved <= tuned_settings


def test_a_mix_of_two_networks_is_the_weighted_mean_of_their_probabilities(run: Run, tmp_path: Path) -> None:
    other = train_run(tmp_path / "other", "model=gru", "model.units=24")
    nats = []
    for directory, options in (
        (run.directory, {}), (other.directory, {}), (run.directory, {"mix": str(other.directory), "mix_weight": 0.25}),
    ):  # fmt: skip
        found = textloom.load(directory).evaluate(protocol="stream", per_token="tokens.jsonl", **options)
        nats.append(np.array([json.loads(line)["nats"] for line in Path("tokens.jsonl").read_text().splitlines()]))
    first, second, mixed = nats
    assert np.allclose(mixed, -np.log(0.75 * np.exp(-first) + 0.25 * np.exp(-second)), atol=1e-4)
    assert "protocol:stream+mix(gru." in found.signatures["val"]


def test_a_search_finds_the_lowest_point_within_its_trials() -> None:
    seen = []

    def loss(one: Adaptation) -> float:
        assert one.cache is not None
        assert one.temperature is not None
        seen.append(one)
        return (log(one.cache.sharpness / 2)) ** 2 + (one.cache.weight - 0.4) ** 2 + (log(one.temperature / 0.8)) ** 2

    found = tune(Adaptation(temperature=1.0, cache=CACHE), loss)
    assert found.cache is not None
    assert found.temperature is not None
    assert found.cache.sharpness == pytest.approx(2, rel=0.35)
    assert found.cache.weight == pytest.approx(0.4, abs=0.1)
    assert found.temperature == pytest.approx(0.8, rel=0.35)
    assert len(seen) <= MOST_TRIALS
    assert len(seen) == len(set(seen))


def test_a_setting_that_hardly_matters_leaves_the_trials_to_the_others() -> None:
    """The lower the decay the better, by less and less."""

    def loss(one: Adaptation) -> float:
        assert one.dynamic is not None
        assert one.temperature is not None
        return one.dynamic.decay + log(one.dynamic.learning_rate / 0.01) ** 2 + log(one.temperature / 0.8) ** 2

    found = tune(Adaptation(temperature=1.0, dynamic=MOVING), loss)
    assert found.dynamic is not None
    assert found.temperature == pytest.approx(0.8, rel=0.35)
    assert found.dynamic.learning_rate == pytest.approx(0.01, rel=0.35)
    assert 1e-9 < found.dynamic.decay < 1e-4


def test_a_search_among_infinite_losses_ends() -> None:
    start = Adaptation(cache=CACHE)
    assert tune(start, lambda one: float("nan")) == start


def test_a_comparison_keeps_adapted_figures_apart_and_counting_out_of_them(run: Run, tmp_path: Path) -> None:
    for options in ({"cache": True}, {"cache": True, "cache_weight": 0.2}):
        textloom.load(run.directory).evaluate(**options)
    assert [kept.method for kept in read_kept(run)] == ["stream", "stream+cache", "stream+cache"]
    groups = {group.heading.rpartition(" ")[2]: group for group in compare_runs([run.directory]).groups}
    assert set(groups) == {"stream", "stream+cache"}
    rows = groups["stream+cache"].rows
    assert sorted(row.setting["evaluation.cache_weight"] for row in rows) == [0.1, 0.2]
    assert not any(row.is_ngram for row in rows)
    assert any(row.is_ngram for row in groups["stream"].rows)


def test_a_comparison_tells_tuned_figures_from_others(run: Run) -> None:
    for tune_ in (False, True):
        textloom.load(run.directory).evaluate(cache=True, tune=tune_, tune_targets=100)
    (group,) = (one for one in compare_runs([run.directory]).groups if one.heading.endswith("stream+cache"))
    assert "evaluation.tuned" in group.keys
    assert sorted(row.setting["evaluation.tuned"] for row in group.rows) == [False, True]


def test_other_evaluations_of_an_n_gram_are_no_further_seeds_of_it(run: Run, tmp_path: Path) -> None:
    ngram = train_run(tmp_path / "ngram", "experiment=ngram")

    def counting() -> list[tuple[int, float]]:
        groups = compare_runs([run.directory, ngram.directory]).groups
        (group,) = (one for one in groups if one.heading.endswith("protocol stream"))
        rows = (row for row in group.rows if row.records and row.is_ngram)
        return [(row.seeds, row.figures["val/bits_per_char"].mean) for row in rows]

    before = counting()
    assert len(before) == 1
    for options in ({"temperature": 2.0}, {"temperature": 3.0}, {"mix": str(run.directory)}):
        textloom.load(ngram.directory).evaluate(**options)
    assert counting() == before
    headings = {group.heading: group for group in compare_runs([run.directory, ngram.directory]).groups}
    (tempered,) = (group for heading, group in headings.items() if heading.endswith("+temperature"))
    values = [row.setting["evaluation.temperature"] for row in tempered.rows if "evaluation.temperature" in row.setting]
    assert sorted(values) == [2.0, 3.0]


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["protocol=documents", "dynamic=true"],
            "dynamic=true: adapts along one stream, but the protocol is",
        ),
        (["protocol=streams", "cache=true"], "cache=true: adapts along one stream, but the protocol is streams(10)"),
        (["tune=true"], "tune=true: nothing with settings is switched on; add dynamic=true, cache=true or mix=RUN"),
        (["mix=words"], "mix=words: has another vocabulary (word, "),
        (["mix=nowhere"], "mix=nowhere: there is no such directory"),
        (["cache=true", "cache_weight=1"], "cache_weight=1: must be less than 1"),
        (["temperature=0"], "temperature=0: must be greater than 0"),
    ],
)
def test_a_method_that_does_not_suit_the_run_is_one_line(
    arguments: list[str], message: str, command: Command, run: Run, tmp_path: Path
) -> None:
    if "mix=words" in arguments:
        train_run(tmp_path / "words", "tokenizer=word", "trainer=debug")
    answer = command("evaluate", f"run={run.directory}", *arguments)
    assert answer.status == 2
    assert message in answer.err
    assert answer.out == ""
    assert len([line for line in answer.err.splitlines() if not line.startswith("run: ")]) == 1


@pytest.mark.parametrize("key", ["dynamic", "cache"])
def test_n_grams_do_not_adapt(key: str, command: Command, tmp_path: Path) -> None:
    train_run(tmp_path / "ngram", "experiment=ngram")
    answer = command("evaluate", "run=ngram", f"{key}=true")
    assert answer.status == 2
    assert f"{key}=true: n-grams have no" in answer.err


def test_an_export_has_no_training_split_to_measure_gradients_or_count_on(run: Run, tmp_path: Path) -> None:
    export = textloom.load(textloom.load(run.directory).export(tmp_path / "export"))
    for options in ({"dynamic": True}, {"mix": "ngram"}):
        with pytest.raises(textloom.RunError, match="the tokens of the train split are missing"):
            export.evaluate(**options)
    assert export.evaluate(cache=True) == textloom.load(run.directory).evaluate(cache=True)
