"""Texts end where they are told to, whatever tokens they are cut into, and appear while they are drawn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import compose_train
from textloom.generation.generate import draw_again, draw_texts, generate_texts, open_prompt, stream_text
from textloom.generation.requests import Request, Rules
from textloom.generation.sampling import Sampling, TokenRules, text_seeds
from textloom.generation.text import GrowingText, Limits, Writing
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.subword import BPETokenizer
from textloom.tokenizers.word import WordTokenizer

TEXT = "Ein Fuchs läuft. Der Hase (klein, schnell) schläft nicht! 你好。 Warum? Ja.\nNein 😀 und ja.\n" * 20
TOKENIZERS = {
    "char": CharTokenizer.fit([[TEXT]], lowercase=False),
    "byte": ByteTokenizer(),
    "word": WordTokenizer.fit([[TEXT]], lowercase=False),
    "bpe": BPETokenizer.fit([[TEXT]], lowercase=False, maximum_size=300),
}
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


def grown(tokenizer: Tokenizer, limits: Limits, text: str, at_once: int, prompt: str = "Ein") -> GrowingText:
    """The text of a model that writes ``text`` after the prompt, in pieces of so many tokens."""
    context = tokenizer.encode(prompt).tolist()
    ids = tokenizer.encode(prompt + text).tolist()[len(context) :]
    one = GrowingText(tokenizer, limits, context, watched=True)
    for begin in range(0, len(ids), at_once):
        some = ids[begin : begin + at_once]
        one.add(some, [0.5] * len(some))
    return one


@every_tokenizer
@pytest.mark.parametrize("at_once", [1, 2, 7, 32])
def test_a_text_ends_before_a_stop_text_that_is_cut_over_tokens(tokenizer: Tokenizer, at_once: int) -> None:
    text = " Fuchs läuft. Der Hase (klein, schnell) schläft nicht!"
    found = grown(tokenizer, Limits(500, stop=("XXL", "schnell) schl", "nicht")), text, at_once)
    assert (found.finish(), found.ending) == (" Fuchs läuft. Der Hase (klein, ", "stop")
    context = tokenizer.encode("Ein").tolist()
    assert tokenizer.decode([*context, *found.tokens]).startswith("Ein Fuchs läuft. Der Hase (klein,")
    assert len(found.tokens) == len(found.logprobs)


def test_the_first_of_several_stop_texts_counts() -> None:
    assert Limits(9, stop=("b", "ab", "c")).cut("xxabc") == (2, "stop")
    assert Limits(9, stop=("yes",)).cut("ye") is None


@every_tokenizer
@pytest.mark.parametrize("at_once", [1, 32])
def test_characters_and_sentences_are_counted(tokenizer: Tokenizer, at_once: int) -> None:
    text = " Fuchs läuft. Der Hase (klein, schnell) schläft nicht! 你好。 Warum? Ja."
    for characters in (1, 5, 20):
        assert grown(tokenizer, Limits(500, characters=characters), text, at_once).finish() == text[:characters]
    ends = [text.index(mark) + 1 for mark in ".!。?"]
    for number, end in enumerate(ends, start=1):
        found = grown(tokenizer, Limits(500, sentences=number), text, at_once)
        assert (found.finish(), found.ending) == (text[:end], "length")


def test_a_number_or_an_abbreviation_within_a_word_ends_no_sentence() -> None:
    assert Limits(9, sentences=1).cut('It is 3.14 or "so." And') == (19, "length")


@every_tokenizer
@given(st.text(st.sampled_from("Ein Fuchs,.läd你😀\n"), max_size=60), st.integers(1, 9))
def test_pieces_make_the_whole_text(tokenizer: Tokenizer, text: str, at_once: int) -> None:
    context = tokenizer.encode("Ein").tolist()
    ids = tokenizer.encode(text).tolist()
    writing = Writing(tokenizer, context)
    pieces = [writing.add(ids[begin : begin + at_once]) for begin in range(0, len(ids), at_once)]
    whole = "".join(pieces) + writing.add([], last=True)
    assert tokenizer.decode(context) + whole == tokenizer.decode([*context, *ids])
    assert "\ufffd" not in whole


def test_long_texts_are_written_in_pieces_too() -> None:
    for tokenizer in TOKENIZERS.values():
        ids = tokenizer.encode(TEXT).tolist()
        writing = Writing(tokenizer, [])
        pieces = [writing.add(ids[begin : begin + 32]) for begin in range(0, len(ids), 32)]
        assert "".join(pieces) + writing.add([], last=True) == TEXT


# --- with a model ---------------------------------------------------------------------------------------------------


def model(tokenizer: Tokenizer, units: int = 16) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    built = RecurrentLanguageModel(compose_train(f"model.units={units}").model, tokenizer.vocabulary_size)
    torch.nn.init.normal_(built.softmax.weight, std=1.0)
    built.softmax.bias.data[tokenizer.end_id] = -100.0  # a text without end
    return built.eval()


@every_tokenizer
def test_a_streamed_text_is_the_text(tokenizer: Tokenizer) -> None:
    built = model(tokenizer)
    opening = open_prompt(built, tokenizer, "Ein Fuchs")
    for limits in (Limits(100), Limits(100, stop=("a", "ja. ")), Limits(100, characters=30)):
        request = Request(opening, Sampling(), seed=3)
        pieces = list(stream_text(built, tokenizer, request, Rules(limits)))
        (whole,) = draw_texts(built, tokenizer, [request], Rules(limits))
        assert "".join(pieces) == whole.text
        assert len(pieces) <= 6
    assert generate_texts(built, tokenizer, "Ein Fuchs", 100, [Sampling()], seed=3)[0].startswith("Ein Fuchs")


def test_a_text_of_a_batch_is_made_again_by_its_own_seed() -> None:
    tokenizer = TOKENIZERS["char"]
    built = model(tokenizer)
    opening, rules = open_prompt(built, tokenizer, "Ein"), Rules(Limits(50), with_logprobs=True)
    requests = [Request(opening, Sampling(0.8), seed) for seed in text_seeds(1, 6)]
    for one in draw_texts(built, tokenizer, requests, rules):
        (again,) = draw_texts(built, tokenizer, [Request(opening, Sampling(0.8), one.seed)], rules)
        assert (again.text, again.tokens) == (one.text, one.tokens)
        assert again.logprobs == pytest.approx(one.logprobs, abs=1e-5)


@pytest.mark.parametrize("window", [None, 4])
def test_every_text_of_a_batch_is_made_again_to_the_last_digit_in_its_row(window: int | None) -> None:
    tokenizer = TOKENIZERS["char"]
    built = model(tokenizer, units=40)
    opening = open_prompt(built, tokenizer, "Ein Fuchs", window)
    rules = Rules(Limits(40), window=window, with_logprobs=True)
    requests = [Request(opening, Sampling(1.0), seed) for seed in text_seeds(1, 61)]
    texts = draw_texts(built, tokenizer, requests, rules)
    assert len({one.text for one in texts}) > 50
    for request, one in zip(requests, texts, strict=True):
        assert draw_again(built, tokenizer, request, rules, one.place) == one


def test_prompts_of_any_length_are_continued_side_by_side_as_alone() -> None:
    tokenizer = TOKENIZERS["char"]
    built = model(tokenizer)
    prompts = ["E", "Der Hase", "Warum? " * 100, "nicht"]
    for window in (None, 5):
        openings = [open_prompt(built, tokenizer, prompt, window) for prompt in prompts]
        requests = [
            Request(opening, Sampling(), seed) for opening, seed in zip(openings, text_seeds(0, 4), strict=True)
        ]
        together = draw_texts(built, tokenizer, requests, Rules(Limits(20), window=window))
        alone = [draw_texts(built, tokenizer, [one], Rules(Limits(20), window=window))[0] for one in requests]
        assert [one.text for one in together] == [one.text for one in alone]


def test_log_probabilities_are_those_of_the_model() -> None:
    tokenizer = TOKENIZERS["char"]
    built = model(tokenizer)
    request = Request(open_prompt(built, tokenizer, "Ein"), Sampling(0.5, top_k=3), seed=0)
    (found,) = draw_texts(built, tokenizer, [request], Rules(Limits(20), with_logprobs=True))
    ids = [tokenizer.end_id, *tokenizer.encode("Ein").tolist(), *found.tokens]
    logits = built.logits(built(torch.tensor([ids]))[0][0, 3:-1])
    logits[:, tokenizer.unknown_id] = -torch.inf
    expected = logits.log_softmax(1).gather(1, torch.tensor(found.tokens)[:, None]).squeeze(1)
    assert found.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_banned_text_is_not_written() -> None:
    tokenizer = TOKENIZERS["char"]
    built = model(tokenizer)
    (free,) = generate_texts(built, tokenizer, "Ein", 300, [Sampling()], seed=0)
    pair = free[10:12]
    ids = tuple(tokenizer.encode(pair).tolist())
    request = Request(open_prompt(built, tokenizer, "Ein"), Sampling(), seed=0)
    (found,) = draw_texts(built, tokenizer, [request], Rules(Limits(300), TokenRules(tokenizer.end_id, (ids,))))
    assert pair not in found.text
    assert found.text[:12] == free[:11] + found.text[11]
