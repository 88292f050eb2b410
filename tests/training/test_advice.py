"""The last line of a training that learned too little names the key to change."""

from collections.abc import Callable

import pytest

from conftest import Answer, compose_train
from textloom.data.encoding import load_splits
from textloom.ngram.model import fit_orders
from textloom.runs.run import Run
from textloom.tokenizers import load_tokenizer
from textloom.training.advice import TrainingEnd, advice, last_and_best_before, unigram_loss
from textloom.training.preparation import EncodedText


@pytest.fixture
def prepared(toy_run: Run) -> EncodedText:
    return EncodedText(load_tokenizer(toy_run.tokenizer_file), load_splits(toy_run.tokens))


def ending(loss: float, last: float, before: float | None, limit: str | None = None) -> TrainingEnd:
    return TrainingEnd(loss=loss, last_loss=last, best_before=before, limit=limit)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            ending(2.0, 2.0, 2.1, "trainer.max_epochs"),
            "trainer.max_epochs=6 ended the training; to train it further: textloom train resume=",
        ),
        (ending(2.0, 2.0, 2.1, "trainer.max_steps"), "when trainer.max_steps=40 ended the training"),
        (ending(2.0, 2.0, 2.001, "trainer.max_epochs"), None),  # it hardly improves
        (ending(0.0003, 0.0003, 0.0005, "trainer.max_epochs"), None),  # nor here
        (ending(2.0, 2.2, 2.0, "trainer.max_epochs"), None),  # the best lies behind
        (ending(2.0, 2.0, 2.1), None),  # stopped early
        (ending(2.0, 2.0, None, "trainer.max_epochs"), None),  # a single validation
        (ending(3.5, 3.5, 3.6, "trainer.max_epochs"), "is no better than"),
        (ending(3.5, 3.5, 3.6), "try optimizer.learning_rate=0.001 or 0.009"),
    ],
)
def test_the_line_names_the_key(given: TrainingEnd, line: str | None, prepared: EncodedText, toy_run: Run) -> None:
    config = compose_train("trainer.max_epochs=6", "trainer.max_steps=40", "optimizer.learning_rate=0.003")
    said = advice(given, config, prepared, toy_run)
    assert said is None if line is None else line in str(said)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], (None, None)),
        ([(5, 2.0)], (2.0, None)),
        ([(1310, 2.2), (2620, 2.1), (5240, 2.0), (5241, 2.0)], (2.0, 2.1)),  # the end is validated again
        ([(10, 2.0), (20, 1.8), (30, 1.9)], (1.9, 1.8)),
    ],
)
def test_a_validation_right_before_the_end_is_no_earlier_one(
    losses: list[tuple[int, float]], expected: tuple[float | None, float | None]
) -> None:
    assert last_and_best_before(losses) == expected


def test_the_unigram_loss_is_that_of_the_token_frequencies(prepared: EncodedText) -> None:
    train = prepared.splits["train"].tokens
    unigram = next(fit_orders(train, prepared.tokenizer.vocabulary_size, prepared.tokenizer.end_id, 1))
    nats, _ = unigram.score(prepared.splits["val"].tokens)
    assert unigram_loss(prepared) == nats / prepared.splits["val"].targets


@pytest.mark.parametrize(
    ("overrides", "cure"),
    [
        (["trainer.max_epochs=1"], "to train it further: textloom train resume=run trainer.max_epochs=2"),
        (["trainer.max_steps=2", "schedule=cosine"], "train a new run with a larger trainer.max_steps"),
        (["trainer.max_epochs=1", "schedule=cosine"], "train a new run with a larger trainer.max_epochs"),
    ],
)
def test_a_training_that_learned_nothing_says_so_at_its_end(
    overrides: list[str], cure: str, command: Callable[..., Answer]
) -> None:
    tiny = ["model.units=8", "samples.length=5", "trainer.progress_bar=false", "hydra.run.dir=run"]
    answer = command("train", *tiny, *overrides, "optimizer.learning_rate=1e-6")
    last_line = answer.out.splitlines()[-1]
    assert "has learned nothing else; " in last_line
    assert last_line.endswith(cure)
