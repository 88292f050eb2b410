"""Tokenizers that others trained: read from where they are, and special tokens never come from text."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from published import PROSE, SPECIAL, publish
from test_tokenizers import TEXTS

from textloom.config.tokenizer import PretrainedTokenizerConfig
from textloom.errors import ConfigError
from textloom.tokenizers import Tokenizer, fit_tokenizer, load_tokenizer, origin, save_tokenizer
from textloom.tokenizers.pretrained import PretrainedTokenizer


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def tokenizers(published: dict[str, Path]) -> dict[str, Tokenizer]:
    return {name: PretrainedTokenizer.load(str(path)) for name, path in published.items()}


@given(TEXTS)
def test_a_lossless_one_gives_back_every_text(tokenizers: dict[str, Tokenizer], text: str) -> None:
    plain = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)  # its strings hold no lone surrogates
    gpt2 = tokenizers["gpt2"]
    assert gpt2.decode(gpt2.encode(text)) == plain
    assert gpt2.end_id not in gpt2.encode(text)


@given(TEXTS, TEXTS)
def test_a_text_cut_at_a_safe_place_has_the_tokens_of_the_whole(
    tokenizers: dict[str, Tokenizer], text: str, more: str
) -> None:
    for name, tokenizer in tokenizers.items():
        text = f"{PROSE} {text}"
        head, rest = tokenizer.safe_cut(text)
        assert head
        parts = [tokenizer.encode(head), tokenizer.encode(rest + more)]
        assert np.concatenate(parts).tolist() == tokenizer.encode(text + more).tolist(), name


def test_a_long_text_is_encoded_in_pieces(tokenizers: dict[str, Tokenizer]) -> None:
    text = f"{PROSE} " * 1000
    for tokenizer in tokenizers.values():
        whole = tokenizer._model.encode(text, add_special_tokens=False).ids  # type: ignore[attr-defined]
        assert tokenizer.encode(text).tolist() == whole


def test_special_strings_in_the_text_stay_text(tokenizers: dict[str, Tokenizer], published: dict[str, Path]) -> None:
    for name, tokenizer in tokenizers.items():
        text = " ".join(["gates", *SPECIAL, "gates"])
        stored = json.loads(published[name].read_text())
        ids = tokenizer.encode(text)
        assert len(ids) >= len(SPECIAL) + 2
        special = {token["id"] for token in stored["added_tokens"]} - {tokenizer.unknown_id}
        assert not special & set(ids.tolist()), name
        pieces = tokenizer.unknown(text)
        assert len(pieces) == (ids == tokenizer.unknown_id).sum()
    assert tokenizers["gpt2"].decode(tokenizers["gpt2"].encode(text)) == text


def test_nothing_is_added_cut_or_padded(tokenizers: dict[str, Tokenizer]) -> None:
    bert = tokenizers["bert"]
    assert bert.decode(bert.encode("The gates keep values the gates keep values")) == (
        "the gates keep values the gates keep values"
    )
    assert bert.encode("the").tolist() == [bert.encode("the gates")[0]]


def test_what_is_unknown_is_named(tokenizers: dict[str, Tokenizer]) -> None:
    for name in ("bert", "t5", "words"):
        assert tokenizers[name].unknown("The 日本 gates") == ["日本"] or name == "bert"
        assert "<unk>" in tokenizers[name].decode(tokenizers[name].encode("The 日本 gates"))
    assert tokenizers["bert"].unknown("The 日本 gates") == ["日", "本"]
    assert tokenizers["gpt2"].unknown_id is None


def test_it_is_saved_whole(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    for name, tokenizer in tokenizers.items():
        save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
        loaded = load_tokenizer(tmp_path / "tokenizer.json")
        assert loaded.encode(PROSE).tolist() == tokenizer.encode(PROSE).tolist(), name
        assert loaded.vocabulary_size == tokenizer.vocabulary_size


def test_a_folder_will_do_and_another_content_has_another_origin(published: dict[str, Path]) -> None:
    def config(path: Path) -> PretrainedTokenizerConfig:
        return PretrainedTokenizerConfig(level="pretrained", path=str(path))

    gpt2 = published["gpt2"]
    assert fit_tokenizer(config(gpt2.parent), [PROSE]) == fit_tokenizer(config(gpt2), [PROSE])
    assert origin(config(gpt2.parent)) == origin(config(gpt2)) != origin(config(published["bert"]))


def test_one_that_loses_text_says_so(published: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fit_tokenizer(PretrainedTokenizerConfig(level="pretrained", path=str(published["gpt2"])), [PROSE])
        assert not caplog.text
        fit_tokenizer(PretrainedTokenizerConfig(level="pretrained", path=str(published["bert"])), [PROSE])
    assert "decoding does not restore the text" in caplog.text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/tokenizer.json", "there is no such file; give a tokenizer.json"),
        ("no such name", "there is no such file"),
        ("broken.json", "not a tokenizer.json that tokenizers"),
        ("text.json", "give a tokenizer.json, or a Hub id"),
        ("binary.json", "cannot be read"),
    ],
)
def test_a_wrong_path_is_reported_in_one_line(path: str, message: str, tmp_path: Path) -> None:
    Path("broken.json").write_text('{"model": {"type": "Nothing", "vocab": {}}}')
    Path("text.json").write_text("To be, or not to be")
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as caught:
        PretrainedTokenizer.load(path)
    assert str(caught.value).startswith(f"tokenizer.path={path}: ")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


LOAD = """
import sys
from textloom.errors import ConfigError
from textloom.tokenizers.pretrained import PretrainedTokenizer
for path in sys.argv[1:]:
    try:
        print(PretrainedTokenizer.load(path).vocabulary_size)
    except ConfigError as error:
        print(error)
"""


def test_a_hub_id_is_found_in_the_hubs_cache_and_told_where_it_is_not(
    published: dict[str, Path], tmp_path: Path
) -> None:
    repository = tmp_path / "hub/models--someone--small"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_bytes(published["gpt2"].read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    told = subprocess.run(
        [sys.executable, "-c", LOAD, "someone/small", "someone/other"], text=True, capture_output=True, check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    ).stdout.splitlines()  # fmt: skip
    assert told[0] == "321"
    assert told[1].startswith("tokenizer.path=someone/other: no file here, not in the Hub's cache")
    assert len(told) == 2
