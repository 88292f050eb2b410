"""Runs with every tokenizer: trained, generated from, exported, evaluated again to the last digit."""

import logging
import re
from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
from published import publish

from conftest import Answer, encoded, split, train_run
from textloom.data.encoding import load_splits
from textloom.data.sources.toy import toy_text
from textloom.evaluation.evaluate import evaluate_run
from textloom.export.folder import export_run
from textloom.runs.run import Run
from textloom.tokenizers import Tokenizer, load_tokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.whitespace import WhitespaceTokenizer
from textloom.tokenizers.word import WordTokenizer


@pytest.mark.parametrize("level", ["whitespace", "bpe", "unigram", "pretrained"])
def test_a_run_with_any_tokenizer_can_be_used_like_every_other(
    level: str, command: Callable[..., Answer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = publish(tmp_path)
    given = {"pretrained": [f"tokenizer.path={files['gpt2']}"], "bpe": ["tokenizer.maximum_size=300"]}.get(level, [])
    with caplog.at_level(logging.INFO):
        run = train_run(tmp_path / "run", f"tokenizer={level}", "trainer.batch_size=4", *given)
    for path in files.values():
        path.unlink()  # the run needs them no more
    part, results = load_splits(run.tokens)["val"], run.results()
    assert results["vocabulary_size"] == load_tokenizer(run.tokenizer_file).vocabulary_size
    assert results["val/unknown_rate"] == part.unknown / part.targets
    assert (results["val/unknown_rate"] > 0) == (level == "whitespace")
    assert part.characters == sum(map(len, split([toy_text()], 0.1, 0.1, 0).splits["val"].texts()))
    for name, tokens in load_splits(run.tokens).items():
        rate = f"{100 * tokens.unknown / tokens.targets:.2f} % unknown"
        assert re.search(rf"{name} .* {tokens.targets:,} targets +{rate}", caplog.text)
    export = Run(tmp_path / "export")
    export_run(run, export.directory)
    assert str(tmp_path) not in export.export_file.read_text()
    assert evaluate_run(export).items() <= results.items()
    for prompt in ("deep learning ", "The <eos> network"):
        answers = [
            command("generate", f"run={one.directory}", f"prompt={prompt}", "seed=1", "length=9")
            for one in (run, export)
        ]
        assert answers[0].status == 0, answers[0].err
        assert answers[0].out.startswith(prompt.strip())
        assert len(answers[0].out) > len(prompt)
        assert answers[0].out == answers[1].out
    resumed = command("train", f"resume={run.directory}")
    assert resumed.status == 0, resumed.err


def test_onnx_comes_with_the_whole_tokenizer(command: Callable[..., Answer], tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "tokenizer=bpe", "tokenizer.maximum_size=300", "trainer.max_steps=1")
    command("export", f"run={run.directory}", "format=onnx", f"to={tmp_path}/small.onnx")
    assert (tmp_path / "small.tokenizer.json").read_bytes() == run.tokenizer_file.read_bytes()


@pytest.mark.parametrize("fit", [CharTokenizer.fit, WordTokenizer.fit, WhitespaceTokenizer.fit])
def test_bits_per_char_fall_as_a_vocabulary_hides_less(fit: Callable[..., Tokenizer], tmp_path: Path) -> None:
    """The cost of coding each token by its frequency and of spelling each ``<unk>``, which no vocabulary can beat."""
    sentences = [line for line in toy_text().splitlines() if line]
    corpus = split(sentences, 0.2, 0.0, 0)
    bits: list[float] = []
    for share in (0.0, 0.1, 0.5, 1.0):
        full = fit(corpus.splits["train"].documents(), False)
        tokenizer = _smaller(full, share)
        part = encoded(corpus, tokenizer, tmp_path / f"{share}")["val"]
        tokens = part.tokens[1:]
        counts = np.bincount(tokens, minlength=tokenizer.vocabulary_size)
        nats = float(np.sum(-np.log(counts[tokens] / len(tokens)))) + part.spelling_nats
        bits.append(nats / log(2) / part.characters)
        assert (part.unknown > 0) == (part.spelling_nats > 0)
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > 1.2 * bits[-1]


def _smaller(tokenizer: Tokenizer, share: float) -> Tokenizer:
    if isinstance(tokenizer, CharTokenizer):
        return CharTokenizer(tokenizer.characters[: round(share * len(tokenizer.characters))], False)
    assert isinstance(tokenizer, WordTokenizer | WhitespaceTokenizer)
    return type(tokenizer)(tokenizer.words[: round(share * len(tokenizer.words))], False)
