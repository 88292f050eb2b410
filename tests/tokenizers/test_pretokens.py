"""Subword models are trained in bounded time on any text, and as before on texts of words."""

import random
import time
from itertools import islice
from unittest import mock

import numpy as np
import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Sequence, Split

from textloom.tokenizers import subword
from textloom.tokenizers.splitting import pretokens
from textloom.tokenizers.splitting.pretokens import PATTERN, pre_tokenizer_for, repetitive
from textloom.tokenizers.subword import BPETokenizer, UnigramTokenizer

PROSE = "The network's 2 gates (input, forget) keep 3.14 or 1,000 values;  don't\n\n they? Straße, 日本語。 \t-- 👍\n"
HINDI = "किताब पढ़ना अच्छा है। हिन्दी में लिखी किताबें\n"
DRAWN = random.Random(0)
ENDLESS = {
    "one letter": "a" * 300_000,
    "random letters": "".join(DRAWN.choices("acgt", k=300_000)),
    "spaces": " " * 300_000,
    "line ends": "\n" * 300_000,
    "dashes": "-" * 300_000,
    "marks": "a" + "\u0301" * 300_000,
    "ideographs": "".join(chr(DRAWN.randrange(0x4E00, 0x9FFF)) for _ in range(100_000)),
}


def capped(texts: list[str]) -> PreTokenizer:
    return Sequence([Split(Regex(PATTERN), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_line_without_an_end_is_trained_on_in_time_that_grows_with_its_length(text: str) -> None:
    begin = time.process_time()
    tokenizer = BPETokenizer.fit([[text]], lowercase=False, maximum_size=1000)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert time.process_time() - begin < 15  # a minute where it grows with the square


@pytest.mark.parametrize("kind", ["one letter", "spaces", "marks"])
def test_a_unigram_model_too(kind: str) -> None:
    begin = time.process_time()
    tokenizer = UnigramTokenizer.fit([[ENDLESS[kind]]], lowercase=False, maximum_size=300)
    assert tokenizer.decode(tokenizer.encode(ENDLESS[kind][:3000])) == ENDLESS[kind][:3000]
    assert time.process_time() - begin < 15


def test_a_unigram_model_is_trained_on_a_sample_of_a_text_in_which_nothing_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretokens, "DISTINCT", 1 << 14)
    assert 1 << 12 < sum(map(len, repetitive([ENDLESS["random letters"]]))) <= 1 << 14
    prose = [PROSE * 200] * 3
    assert repetitive(prose) is prose
    small = ["a text of a few words, none of which comes again"]
    assert repetitive(small) is small


@pytest.mark.parametrize("kind", [BPETokenizer, UnigramTokenizer])
def test_texts_of_words_have_the_pieces_that_they_always_had(kind: type[BPETokenizer | UnigramTokenizer]) -> None:
    texts = [[f"{PROSE} {i * i}"] for i in range(50)]
    assert str(pre_tokenizer_for([PROSE])) == str(ByteLevel(add_prefix_space=False))
    plain = kind.fit(texts, lowercase=False, maximum_size=330)
    with mock.patch.object(subword, "pre_tokenizer_for", capped):
        other = kind.fit(texts, lowercase=False, maximum_size=330)
    assert plain._model.get_vocab() == other._model.get_vocab()
    assert plain.encode(PROSE).tolist() == other.encode(PROSE).tolist()


def test_combining_marks_stay_with_their_letters() -> None:
    tokenizer = BPETokenizer.fit([[HINDI * 20]], lowercase=False, maximum_size=400)
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(HINDI)]
    assert [piece.strip() for piece in islice(pieces, 4)] == ["किताब", "पढ़ना", "अच्छा", "है"]


@pytest.mark.parametrize(
    "text", [*ENDLESS.values(), HINDI * 2000, "日本語。\n　　東京、" * 9000], ids=[*ENDLESS, "hindi", "chinese"]
)
def test_a_text_without_spaces_is_encoded_in_blocks(text: str) -> None:
    tokenizer = BPETokenizer.fit([[text[:20_000]]], lowercase=False, maximum_size=400)
    with mock.patch.object(BPETokenizer, "block", 2000):
        parts = [part.ids for part in tokenizer.encode_pieces([text[:20_000]])]
    assert len(parts) > 5
    whole = tokenizer._model.encode(text[:20_000], add_special_tokens=False).ids
    assert np.concatenate(parts).tolist() == whole
