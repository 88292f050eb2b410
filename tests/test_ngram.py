"""The counting baseline is the formula of Chen and Goodman, and a run like any other."""

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Answer, compose_train, train_run
from textloom.evaluation.evaluate import evaluate_run
from textloom.ngram.language_model import NgramLanguageModel
from textloom.ngram.model import FALLBACK_DISCOUNTS, NgramModel, discounts_of, fit_orders
from textloom.reports.compare import compare_runs
from textloom.reports.render import render
from textloom.runs.run import Run
from textloom.training.preparation import prepare

END, VOCABULARY = 1, 9
Gram = tuple[int, ...]


def documents(seed: int, count: int = 30) -> list[list[int]]:
    """Short texts in which some tokens follow each other more often than others; token 8 never occurs."""
    chance = np.random.default_rng(seed)
    rows = chance.dirichlet(np.full(6, 0.3), size=8)
    texts = []
    for _ in range(count):
        text = [int(chance.integers(2, 8))]
        for _ in range(int(chance.integers(0, 12))):
            text.append(2 + int(chance.choice(6, p=rows[text[-1]])))
        texts.append(text)
    return texts


def as_tokens(texts: list[list[int]]) -> np.ndarray:
    return np.array([END, *(token for text in texts for token in [*text, END])], dtype=np.uint8)


def fitted(order: int, texts: list[list[int]]) -> NgramModel:
    *_, model = fit_orders(as_tokens(texts), VOCABULARY, END, order)
    return model


class Literal:
    """The formula, word for word: counts in dictionaries, one n-gram at a time."""

    def __init__(self, texts: list[list[int]], order: int):
        sentences = [[END, *text, END] for text in texts]
        plain = [Counter[Gram]() for _ in range(order + 2)]
        for sentence in sentences:
            for last in range(1, len(sentence)):
                for length in range(1, min(order, last + 1) + 1):
                    plain[length][tuple(sentence[last - length + 1 : last + 1])] += 1
        self.order = order
        self.counts: list[dict[Gram, int]] = [{}]
        for length in range(1, order + 1):
            if length == order:
                self.counts.append(dict(plain[length]))
                continue
            before = defaultdict[Gram, set[int]](set)
            for gram in plain[length + 1]:
                before[gram[1:]].add(gram[0])
            beginning = {gram: n for gram, n in plain[length].items() if length > 1 and gram[0] == END}
            self.counts.append({**{gram: len(tokens) for gram, tokens in before.items()}, **beginning})
        self.probability = cache(self._probability)

    def discount(self, length: int, count: int) -> float:
        times = Counter(self.counts[length].values())
        if any(times[i] == 0 for i in (1, 2, 3, 4)):
            return [0.5, 1.0, 1.5][min(count, 3) - 1]
        y = times[1] / (times[1] + 2 * times[2])
        own = [i - (i + 1) * y * times[i + 1] / times[i] for i in (1, 2, 3)]
        return (own if min(own) > 0 else [0.5, 1.0, 1.5])[min(count, 3) - 1]

    def _probability(self, context: Gram, token: int) -> float:
        counts = self.counts[len(context) + 1]
        shorter = self.probability(context[1:], token) if context else 1 / VOCABULARY
        after = {gram: count for gram, count in counts.items() if gram[:-1] == context}
        if not after:
            return shorter
        total, count = sum(after.values()), after.get((*context, token), 0)
        reserved = sum(self.discount(len(context) + 1, other) for other in after.values())
        own = count - self.discount(len(context) + 1, count) if count else 0.0
        return own / total + reserved / total * shorter


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_probabilities_are_those_of_the_formula(order: int, seed: int) -> None:
    texts = documents(seed)
    model, literal = fitted(order, texts), Literal(texts, order)
    scored = documents(seed + 100, count=5)
    tokens = as_tokens(scored)
    expected = []
    for text in scored:
        whole = [END, *text, END]
        for last in range(1, len(whole)):
            expected.append(literal.probability(tuple(whole[max(0, last - order + 1) : last]), whole[last]))
    probability, likeliest = model.predict(tokens)
    np.testing.assert_allclose(probability, expected, rtol=1e-12)
    for place in range(1, len(tokens)):
        distribution = model.distribution(tokens[:place])
        assert distribution[tokens[place]] == pytest.approx(probability[place - 1], rel=1e-12)
        assert distribution[likeliest[place - 1]] == pytest.approx(distribution.max(), rel=1e-12)


def test_discounts_are_estimated_where_the_text_allows_it() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [40, 15, 8, 5, 3])
    y = 40 / (40 + 2 * 15)
    expected = [0, 1 - 2 * y * 15 / 40, 2 - 3 * y * 8 / 15, 3 - 4 * y * 5 / 8]
    np.testing.assert_allclose(discounts_of(counts), expected)
    np.testing.assert_array_equal(discounts_of(np.array([1, 1, 2])), FALLBACK_DISCOUNTS)


def test_probabilities_sum_to_one_after_any_context() -> None:
    model, chance = fitted(4, documents(2)), np.random.default_rng(0)
    for _ in range(300):
        context = chance.integers(0, VOCABULARY, size=int(chance.integers(0, 7)))
        distribution = model.distribution(context)
        assert distribution.sum() == pytest.approx(1, abs=1e-12)
        assert distribution.min() > 0


def test_the_torch_module_sees_the_same_probabilities_token_by_token() -> None:
    model, tokens = fitted(3, documents(3)), as_tokens(documents(4, count=3))
    module, probability = NgramLanguageModel(model), model.predict(tokens)[0]
    inputs = torch.from_numpy(tokens[:-1].astype(np.int64))[None]
    hidden, _ = module(inputs)
    whole = module.logits(hidden).exp()[0, torch.arange(len(probability)), torch.from_numpy(tokens[1:].astype(int))]
    np.testing.assert_allclose(whole, probability, rtol=1e-12)
    state, pieces = None, []
    for token in inputs[0]:
        hidden, state = module(token.view(1, 1), state)
        pieces.append(module.logits(hidden[:, -1]).exp())
    np.testing.assert_allclose(torch.cat(pieces), module.logits(module(inputs)[0])[0].exp(), rtol=1e-12)


def test_an_ngram_run_is_evaluated_and_generates_like_any_other(tmp_path: Path, command: Callable[..., Answer]) -> None:
    run = train_run(tmp_path / "outputs/ngram/1", "experiment=ngram")
    results = run.results()
    assert results["steps"] == 1
    assert results["val/loss"] < np.log(results["vocabulary_size"]) / 2
    assert evaluate_run(run) == {name: results[name] for name in results if name.startswith(("val/", "test/"))}
    assert evaluate_run(run, "last") == evaluate_run(run)
    first, second = (command("generate", "run=latest", "length=40", "seed=3", "prompt=deep learn") for _ in "ab")
    assert first.status == 0, first.err
    assert first.out == second.out
    assert len(first.out) > 20
    refused = command("export", "run=latest")
    assert refused.status == 2
    assert "an n-gram model has no weights to hand on" in refused.err


def test_on_shakespeare_it_does_better_than_absolute_discounting(real_data: Path) -> None:
    """On the last tenth, characters: plain absolute discounting scores 1.72 nats with 6-grams."""
    text = (real_data / "tinyshakespeare/input.txt").read_text()
    symbols = {symbol: i for i, symbol in enumerate(sorted(set(text)), start=1)}
    ids, train = np.array([0, *(symbols[symbol] for symbol in text)]), int(len(text) * 0.9)
    *_, model = fit_orders(ids[: train + 1], len(symbols) + 1, 0, 6)
    probability, _ = model.predict(np.append(0, ids[train + 1 :]))
    assert -np.log(probability).mean() == pytest.approx(1.523, abs=0.01)


def test_on_the_patents_it_counts_about_what_others_counted(tmp_path: Path, real_data: Path) -> None:
    """At the vocabulary of 10,739 words, the same abstracts, duplicates folded, and every token a target."""
    path = real_data / "patents/neural_network_patent_query.csv"
    words = ["data=patents", f"data.path={path}", "tokenizer=word", "tokenizer.minimum_frequency=1"]
    prepared = prepare(compose_train(*words), Run(tmp_path), "cpu")
    tokenizer, splits = prepared.tokenizer, prepared.splits
    *_, model = fit_orders(splits["train"].tokens, tokenizer.vocabulary_size, tokenizer.end_id, 6)
    nats, correct = model.score(splits["val"].tokens)
    assert 4.3 < nats / splits["val"].targets < 5.4
    assert 0.22 < correct / splits["val"].targets < 0.32


def write_words(letters: str, count: int) -> None:
    """Words that do not depend on each other: the best order is 1."""
    Path("words.txt").write_text(" ".join(np.random.default_rng(0).choice(list(letters), count)))


WORDS = ["data=text_files", "data.path=words.txt", "tokenizer=word"]


def test_a_model_of_order_1_is_a_run_like_any_other(tmp_path: Path, command: Callable[..., Answer]) -> None:
    write_words("abcdefgh", 4000)
    given = [*WORDS, "model.order=1", "samples.length=10", "hydra.run.dir=outputs/run"]
    status, _, said = command("train", "experiment=ngram", *given)
    assert status == 0, said
    run = Run(Path("outputs/run"))
    results = run.results()
    assert results["order"] == 1
    assert 7.95 < results["val/perplexity"] < 8.25
    assert evaluate_run(run) == {name: results[name] for name in evaluate_run(run)}
    status, text, said = command("generate", "run=outputs/run", "prompt=a", "length=30", "seed=1")
    assert (status, len(text.split())) == (0, 31), said
    for form in ("text", "html"):
        status, shown, said = command("compare", "runs=outputs/run", f"format={form}")
        assert status == 0, said
        assert "1-gram" in shown


@pytest.mark.parametrize("text", ["a" * 2000, "abcdefgh" * 250, "ab ab ab ab ab ab"], ids=["one", "period", "tiny"])
@pytest.mark.parametrize("order", [None, 1, 3, 5000])
def test_texts_without_surprises_are_counted_in_any_order(text: str, order: int | None, tmp_path: Path) -> None:
    Path("text.txt").write_text(text)
    chosen = [] if order is None else [f"model.order={order}"]
    run = train_run(tmp_path / "run", "experiment=ngram", "data=text_files", "data.path=text.txt", *chosen)
    results = run.results()
    assert 0 < results["val/loss"] < 2.2
    assert results["order"] == order or order in (None, 5000)  # which no text here has
    compared = render(compare_runs([run.directory]), "html")
    assert f"{int(results['order'])}-gram" in compared
