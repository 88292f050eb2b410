"""The token cache: every process gets the same bytes, even if the cache is damaged or deleted."""

import os
import shutil
from pathlib import Path

import pytest

from conftest import split, train_run
from textloom.config.tokenizer import CharTokenizerConfig
from textloom.data import cache
from textloom.data.corpus import Corpus
from textloom.runs.run import Run

CONFIG = CharTokenizerConfig(level="char", lowercase=False)


@pytest.fixture
def corpus() -> Corpus:
    return split([f"document {i} " + "of many words " * 50 for i in range(200)], 0.1, 0.1, 0)


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "cache"))


def take(corpus: Corpus, directory: Path) -> dict[str, bytes]:
    cache.load_or_encode_into(corpus, CONFIG, directory / "tokenizer.json", directory / "tokens")
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_second_run_takes_what_the_first_encoded(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take(corpus, tmp_path / "first")
    monkeypatch.setattr(cache, "encode_corpus", None)  # encoding again would fail
    assert take(corpus, tmp_path / "second") == first


def test_two_processes_that_ask_at_once_get_the_same_bytes_and_one_encodes(corpus: Corpus, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    encode, children = cache.encode_corpus, []
    for i in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:

                def counted(*arguments: object) -> object:
                    os.write(writer, b"x")
                    return encode(*arguments)  # type: ignore[arg-type]

                cache.encode_corpus = counted  # type: ignore[assignment]
                take(corpus, tmp_path / f"run{i}")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    os.close(writer)
    with os.fdopen(reader, "rb") as encodings:
        assert encodings.read() == b"x"
    found = [take(corpus, tmp_path / f"run{i}") for i in range(4)]
    assert found[1:] == found[:1] * 3


def test_a_damaged_entry_is_encoded_again(corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = take(corpus, tmp_path / "first")
    (entry,) = (path for path in (tmp_path / "cache/tokens").iterdir() if path.is_dir())
    tokens = entry / "val.tokens"
    content = bytearray(tokens.read_bytes())
    content[7] ^= 1
    tokens.unlink()
    tokens.write_bytes(content)
    assert take(corpus, tmp_path / "second") == first
    assert "damaged" in caplog.text


def test_an_encoding_that_died_in_the_middle_is_started_again(corpus: Corpus, tmp_path: Path) -> None:
    first = take(corpus, tmp_path / "first")
    (entry,) = (path for path in (tmp_path / "cache/tokens").iterdir() if path.is_dir())
    entry.rename(entry.with_suffix(".unfinished"))
    (entry.with_suffix(".unfinished") / "val.json").unlink()
    assert take(corpus, tmp_path / "second") == first


def test_a_cache_deleted_in_the_middle_takes_nothing_from_a_run(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textloom.training import train as module

    original = module.evaluate_run

    def delete(run: Run) -> dict[str, float]:
        shutil.rmtree(tmp_path / "cache")
        return original(run)

    monkeypatch.setattr(module, "evaluate_run", delete)
    assert train_run(tmp_path / "run").results()["val/loss"] > 0


def test_without_a_place_for_a_cache_the_run_encodes_for_itself(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "file"))
    without = take(corpus, tmp_path / "without")
    assert "no cache" in caplog.text
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "cache"))
    assert take(corpus, tmp_path / "with") == without


def test_other_text_and_other_tokenizers_have_entries_of_their_own(corpus: Corpus, tmp_path: Path) -> None:
    take(corpus, tmp_path / "a")
    lower = CharTokenizerConfig(level="char", lowercase=True)
    cache.load_or_encode_into(corpus, lower, tmp_path / "b/tokenizer.json", tmp_path / "b")
    take(split(["another"] * 1 + ["text", "here"], 0.1, 0.1, 0), tmp_path / "c")
    assert len([path for path in (tmp_path / "cache/tokens").iterdir() if path.is_dir()]) == 3
