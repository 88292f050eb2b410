"""Two hundred texts of all scripts, planes and line ends: encoded and decoded exactly, trained on, generated from."""

import functools
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Answer
from textloom.data.normalization import Normalizer, normalize_text
from textloom.reproductions.article_tokenizer import ArticleTokenizer
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.pretrained import PretrainedTokenizer
from textloom.tokenizers.subword import BPETokenizer, UnigramTokenizer
from textloom.tokenizers.whitespace import WhitespaceTokenizer
from textloom.tokenizers.word import WordTokenizer

BLOCKS = [
    *((0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x370, 0x400), (0x400, 0x530), (0x530, 0x590), (0x590, 0x600)),
    *((0x600, 0x700), (0x780, 0x7C0), (0x900, 0x980), (0x980, 0xA00), (0xB80, 0xC00), (0xD00, 0xD80), (0xE00, 0xE80)),
    *((0xF00, 0x1000), (0x1000, 0x10A0), (0x1100, 0x1200), (0x1780, 0x1800), (0x1E00, 0x1F00), (0x1F00, 0x2000)),
    *((0x2000, 0x2070), (0x20A0, 0x2100), (0x2190, 0x2300), (0x3000, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAE00)),
    *((0xE000, 0xE010), (0xFB00, 0xFB50), (0xFE00, 0xFE70), (0xFF00, 0x10000), (0x10400, 0x10450), (0x11000, 0x11080)),
    *((0x1D100, 0x1D200), (0x1D400, 0x1D500), (0x1F1E6, 0x1F200), (0x1F300, 0x1F650), (0x1F900, 0x1FA00)),
    *((0x20000, 0x20100), (0xE0020, 0xE0080), (0xE0100, 0xE01F0), (0xF0000, 0xF0010), (0x10FFF0, 0x110000)),
]
BETWEEN = [" ", " ", " ", "  ", "\n", "\r\n", "\r", "\r\r\n", "\n\n", "\t", "\x0b", "\x0c", "\x1c", "\x1f", "\x85"]
BETWEEN += [
    "\u2028",
    "\u2029",
    "\u3000",
    "\xa0",
    "\u200b",
    "\u200d",
    "\ufeff",
    ".",
    ", ",
    "'",
    "’",
    "-",
    "\xad",
    "\u200f",
]


def generated(seed: int) -> str:
    """A text of words in one to three blocks of Unicode, with anything between them."""
    draw = random.Random(seed)
    blocks = draw.choices(BLOCKS, k=draw.randrange(1, 4)) if seed % 5 else [(1, 0x110000)]
    words = []
    for _ in range(draw.randrange(1, 60)):
        begin, end = draw.choice(blocks)
        codes = (draw.randrange(begin, end) for _ in range(draw.randrange(1, 9)))
        word = "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)
        words += [unicodedata.normalize("NFD", word) if draw.random() < 0.2 else word, draw.choice(BETWEEN)]
    return "".join(words)


TEXTS = [generated(seed) for seed in range(200)]
READ = [normalize_text(text, "nfc") for text in TEXTS]


@functools.cache
def trained_tokenizers() -> list[Tokenizer]:
    documents = [[text] for text in READ]
    bpe = BPETokenizer.fit(documents, lowercase=False, maximum_size=1000)
    unigram = UnigramTokenizer.fit(documents, lowercase=False, maximum_size=600)
    return [ByteTokenizer(), bpe, unigram, PretrainedTokenizer(bpe.definition)]


@pytest.mark.parametrize("seed", range(len(TEXTS)))
def test_any_text_comes_back_as_it_was_read(seed: int) -> None:
    text = READ[seed]
    draw = random.Random(seed)
    cuts = sorted(draw.randrange(len(text) + 1) for _ in range(4))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    reversible = [CharTokenizer.fit([[text]], False), WordTokenizer.fit([[text]], False), *trained_tokenizers()]
    others = [
        WordTokenizer.fit([[text]], lowercase=True),
        CharTokenizer.fit([[text]], lowercase=True),
        WhitespaceTokenizer.fit([[text]], lowercase=False),
        ArticleTokenizer.fit([[text]], lowercase=False, filters=""),
    ]
    for tokenizer in [*reversible, *others]:
        ids = tokenizer.encode(text)
        assert tokenizer.unknown(text) == []
        with mock.patch.object(type(tokenizer), "block", 7):
            parts = [part.ids for part in tokenizer.encode_pieces(pieces)]
        assert np.concatenate([ids[:0], *parts]).tolist() == ids.tolist(), tokenizer.kind
        decoded = tokenizer.decode(ids)
        decoded.encode()
        assert decoded == text or tokenizer in others, tokenizer.kind


@given(st.integers(0, len(TEXTS) - 1), st.lists(st.integers(0, 300), max_size=4))
def test_where_a_text_is_cut_while_it_is_read_changes_nothing(seed: int, cuts: list[int]) -> None:
    text, places = TEXTS[seed], sorted(cuts)
    spans = zip([0, *places], [*places, len(TEXTS[seed])], strict=True)
    pieces = [(text[begin:end], False) for begin, end in spans]
    assert "".join(piece for piece, _ in Normalizer("nfc").pieces([*pieces, ("", True)])) == READ[seed]


@pytest.mark.parametrize(
    ("seeds", "tokenizer"),
    [
        (slice(0, 20), "word"),
        pytest.param(slice(20, 40), "char", marks=pytest.mark.slow),
        pytest.param(slice(40, 60), "byte", marks=pytest.mark.slow),
        pytest.param(slice(60, 80), "bpe", marks=pytest.mark.slow),
        pytest.param(slice(80, 100), "unigram", marks=pytest.mark.slow),
        pytest.param(slice(100, 120), "whitespace", marks=pytest.mark.slow),
    ],
)
def test_any_text_can_be_trained_on_and_generated_from(
    seeds: slice, tokenizer: str, command: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_bytes("\n".join(TEXTS[seeds]).replace("\0", "").encode())
    run = f"hydra.run.dir={tmp_path}/run"
    data = ["data=text_files", f"data.path={tmp_path}/text.txt", f"tokenizer={tokenizer}"]
    data += ["tokenizer.minimum_frequency=1"] if tokenizer in ("word", "whitespace") else []
    tiny = ["model.units=4", "trainer.max_epochs=1", "samples.length=40", "samples.temperatures=[2]", run]
    prompt = TEXTS[seeds][0][:10].replace("\0", "") or "a"
    for arguments in (
        ["prepare", *data],
        ["train", *data, *tiny],
        ["generate", f"run={tmp_path}/run", "prompt=" + prompt, "length=40", "temperature=3"],
        ["evaluate", f"run={tmp_path}/run"],
        ["export", f"run={tmp_path}/run", f"to={tmp_path}/exported"],
        ["generate", f"run={tmp_path}/exported", "length=10"],
    ):
        answer = command(*arguments)
        assert answer.status == 0, answer.err
        assert "Traceback" not in answer.err
