"""Pretrained word vectors: which tokens have them, what is logged, and what is refused."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Answer, compose_train, train_run
from textloom.errors import ConfigError, DataError, Interrupted
from textloom.runs.checkpoints import load_model, read_checkpoint
from textloom.training.word_vectors import read_vectors

GLOVE = "the 1 2 3\ncat 4 5 6\n. . . 7 8 9\nTHE 0.5 0.5 0.5\n"
WORDS = ["the", "cat", "The", "dog", ". . .", "THE"]
EMBEDDING = ["tokenizer=word", "model.embedding_dim=3"]
STILL = "optimizer.learning_rate=1e-30"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [GLOVE, "4 3\n" + GLOVE.replace("\n", " \n")], ids=["glove", "word2vec"])
def test_a_token_has_the_vector_of_its_text_or_of_its_text_in_lower_case(text: str, tmp_path: Path) -> None:
    found = read_vectors(write(tmp_path / "v.txt", text), WORDS, 3)
    assert found.in_file == 4
    assert found.known.tolist() == [True, True, True, False, True, True]
    assert found.values[[0, 1, 2, 4, 5]].tolist() == [[1, 2, 3], [4, 5, 6], [1, 2, 3], [7, 8, 9], [0.5] * 3]


def test_its_own_vector_comes_before_that_of_the_lower_case_wherever_it_stands(tmp_path: Path) -> None:
    lines = ["THE 0.5 0.5 0.5", "the 1 2 3"]
    for number, order in enumerate((lines, lines[::-1])):
        found = read_vectors(write(tmp_path / f"{number}.txt", "\n".join(order)), ["THE"], 3)
        assert found.values.tolist() == [[0.5, 0.5, 0.5]]


def test_a_compressed_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(GLOVE.encode()))
    assert read_vectors(path, ["cat"], 3).values.tolist() == [[4, 5, 6]]


def vectors(tmp_path: Path) -> Path:
    return write(tmp_path / "v.txt", "learning 1 2 3\nnetwork -1 0 2\nzebra 9 9 9\n")


def rows(run: Any, *words: str) -> torch.Tensor:
    _, tokenizer, model = load_model(run, "last")
    return model.weights()["embedding.weight"][[int(tokenizer.encode(word)[0]) for word in words]]


@pytest.mark.parametrize("cell", ["lstm", "awd_lstm", "transformer"])
def test_a_training_begins_with_them_and_logs_the_coverage(
    cell: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    given = [f"model={cell}", *EMBEDDING, f"model.embedding_path={vectors(tmp_path)}", STILL]
    run = train_run(tmp_path / "run", *given)
    assert rows(run, "learning", "network").tolist() == [pytest.approx([1, 2, 3]), pytest.approx([-1, 0, 2])]
    (line,) = [message for message in caplog.messages if message.startswith("word vectors:")]
    assert "2 of" in line
    assert line.endswith("% of the training tokens; the file has 3")


def test_they_are_trained_unless_they_are_frozen(tmp_path: Path) -> None:
    given = [*EMBEDDING, f"model.embedding_path={vectors(tmp_path)}", "optimizer=adamw", "optimizer.weight_decay=0.1"]
    trained = train_run(tmp_path / "trained", *given)
    assert rows(trained, "learning").tolist() != [[1, 2, 3]]
    frozen = train_run(tmp_path / "frozen", *given, "model.frozen_embedding=true")
    assert rows(frozen, "learning", "network").tolist() == [[1, 2, 3], [-1, 0, 2]]
    assert trained.results()["parameters"] - frozen.results()["parameters"] == 3 * frozen.results()["vocabulary_size"]


def test_a_resumed_run_needs_the_file_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.runs.claim import claimed_run
    from textloom.training.module import TrainingModule
    from textloom.training.resume import resumed_config
    from textloom.training.train import train

    path, original = vectors(tmp_path), TrainingModule.training_step
    given = [*EMBEDDING, f"model.embedding_path={path}", "trainer.max_epochs=2"]

    def step(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        if self.current_epoch == 1:
            raise Interrupted("in the second epoch")
        return original(self, batch, index)

    whole = train_run(tmp_path / "whole", *given)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", step)
        with pytest.raises(Interrupted):
            train_run(tmp_path / "cut", *given)
    path.unlink()
    with claimed_run(tmp_path / "cut", resume=True) as run:
        train(resumed_config(run, []), run, [])
    ours, theirs = (read_checkpoint(one.checkpoint_file("last"))["state_dict"] for one in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2\n", r"its vectors have 2 numbers, and model\.embedding_dim is 3; set model\.embedding_dim=2"),
        ("2 4\nthe 1 2 3 4\ncat 1 2 3 4\n", r"its vectors have 4 numbers, .* set model\.embedding_dim=4"),
        (". . . 1 2\n", r"its vectors have 2 numbers, .* set model\.embedding_dim=2"),
        ("2 3\nthe \x01\x02 \x7f\n", "line 2 is not a word and its numbers; give the text form"),
        ("Once upon a time there was a cat\n", "line 1 is not a word and its numbers; give the text form"),
        ("the 1 2 3\ncat 1 2\n", "line 2 has 2 numbers, not 3; repair the file, or get it again"),
        ("the 1 2 3\ncat 1 2 x\n", "line 2 holds something that is not a number; repair"),
        ("the 1 2 3\ncat 1 2 nan\n", "line 2 holds a number that is not finite; repair"),
        ("chat 1 2 3\nchien 4 5 6\n", "none of its 2 words is in the vocabulary of 2"),
        ("", "none of its 0 words is in the vocabulary"),
    ],
)
def test_a_file_that_does_not_fit_is_named_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^model\.embedding_path=.*v\.txt: " + message):
        read_vectors(write(tmp_path / "v.txt", text), ["the", "cat"], 3)


def test_on_the_command_line_it_is_one_line_and_status_2_and_nothing_is_left(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    given = [*EMBEDDING, "model.units=8", "hydra.run.dir=run"]
    for path in (tmp_path / "absent.txt", write(tmp_path / "v.txt", "the 1 2\n")):
        answer = command("train", *given, f"model.embedding_path={path}")
        assert answer.status == 2
        (line,) = [line for line in answer.err.splitlines() if "embedding_path" in line]
        assert str(path) in line
        assert "Traceback" not in answer.err
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.frozen_embedding=true"], r"^model\.frozen_embedding keeps pretrained vectors"),
        (["model.embedding_path=v.txt", "model.embedding_dim=null"], r"^model\.embedding_path needs an embedding"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose_train(*overrides)


def test_words_without_a_vector_are_as_spread_as_the_others(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 5, (40, 3))
    text = "\n".join(f"w{n} " + " ".join(f"{x:.3f}" for x in row) for n, row in enumerate(values))
    path = write(tmp_path / "v.txt", text + "\nlearning 1 2 3\n")
    run = train_run(tmp_path / "run", *EMBEDDING, f"model.embedding_path={path}", STILL)
    weight = load_model(run, "last")[2].weights()["embedding.weight"]
    assert 0.5 < float(weight.std()) < 1.5  # of the one vector that was found: 1
