"""Training words that occur once are ``<unk>`` in some epochs; all else stays as it is."""

import logging
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl

from conftest import TINY, compose_train
from textloom.batching.batches import training_batches
from textloom.batching.batching import Batching
from textloom.batching.singletons import SingletonDropout
from textloom.config import BatchingConfig, DocumentsConfig, StreamConfig, WindowsConfig
from textloom.data.encoding import TokenSplit
from textloom.errors import ConfigError
from textloom.runs.claim import claimed_run
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.word import WordTokenizer
from textloom.training.train import train

TEXT = ["the cat sat on the mat", "the dog sat on one rug", "a cat and a dog"]
UNKNOWN_ID = 0  # of every word tokenizer
ONCE = {"mat", "one", "rug", "and"}
KINDS: list[BatchingConfig] = [
    StreamConfig(kind="stream", steps=4, evaluation_rows=1),
    DocumentsConfig(kind="documents", steps=4),
    WindowsConfig(kind="windows", context=3, stride=1, shortest_context=1),
]


@pytest.fixture(scope="module")
def tokenizer() -> WordTokenizer:
    return WordTokenizer.fit(([text] for text in TEXT), lowercase=True, minimum_frequency=1, maximum_size=None)


@pytest.fixture(scope="module")
def text(tokenizer: WordTokenizer) -> TokenSplit:
    documents = [[*tokenizer.encode(text), tokenizer.end_id] for text in TEXT]
    ends = np.cumsum([0, *map(len, documents)])
    return TokenSplit(np.concatenate([[tokenizer.end_id], *documents]), ends, 0, 0, 0.0)


def words(batching: Batching, epoch: int, tokenizer: WordTokenizer) -> list[tuple[str, str]]:
    """(the token read last, the target) of every target of an epoch, sorted."""
    found = []
    for batch in batching.batches(epoch):
        read = batch.inputs.flatten() if batch.positions is None else batch.inputs.flatten()[batch.positions]
        found += [
            tuple(map(tokenizer.token_text, pair)) for pair in zip(read.tolist(), batch.targets.tolist(), strict=True)
        ]
    return sorted(found)


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
def test_some_words_that_occur_once_are_unknown_as_input_and_as_target(
    config: BatchingConfig, text: TokenSplit, tokenizer: WordTokenizer
) -> None:
    plain, dropping = (training_batches(config, text, 2, seed=0) for _ in range(2))
    dropping.singleton_dropout = SingletonDropout(0.5, text, tokenizer, seed=0)
    epochs = [words(dropping, epoch, tokenizer) for epoch in range(40)]
    for epoch, found in enumerate(epochs):
        hidden = ONCE - {word for pair in found for word in pair}
        expected = [
            tuple("<unk>" if word in hidden else word for word in pair) for pair in words(plain, epoch, tokenizer)
        ]
        assert found == sorted(expected)
        assert words(dropping, epoch, tokenizer) == found  # drawn again alike
    for word in ONCE:
        assert 10 < sum(word in {target for _, target in found} for found in epochs) < 30


def test_a_training_counts_the_words_and_its_validation_is_unchanged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rare = [f"rare{letter}" for letter in "abcdefghijklmnopqrst"]
    (tmp_path / "text.txt").write_text("".join(f"the cat sat on the {word} mat\n" for word in rare))
    config = compose_train(
        *TINY, "data=text_files", "data.path=text.txt", "tokenizer=word", "tokenizer.minimum_frequency=1",
        "trainer.max_steps=1", "batching.singleton_dropout=0.5",
    )  # fmt: skip
    unknown: dict[str, int] = {}

    class Count(pl.Callback):
        def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            for name in ("training", "validation"):
                batches = getattr(trainer.datamodule, name).batches(epoch=0)
                unknown[name] = sum(int((batch.targets == UNKNOWN_ID).sum()) for batch in batches)

    with caplog.at_level(logging.INFO), claimed_run(tmp_path / "run") as run:
        train(config, run, [], [Count()])
    (line,) = [record.getMessage() for record in caplog.records if "singleton" in record.getMessage()]
    assert line == (
        "batching.singleton_dropout: 16 words occur once (12.50 % of the training targets); "
        "each is <unk> in 50 % of the epochs"
    )
    assert 0 < unknown["training"] < 16
    assert unknown["validation"] == 2


def test_a_tokenizer_that_knows_every_text_is_refused(text: TokenSplit) -> None:
    with pytest.raises(
        ConfigError, match="tokenizer=byte has no <unk>, because no text is unknown to it; leave it out"
    ):
        SingletonDropout(0.5, text, ByteTokenizer(), seed=0)


def test_a_model_that_counts_words_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model=ngram counts every word as it is; set batching\.singleton_dropout=0"):
        compose_train("experiment=ngram", "batching.singleton_dropout=0.5")
