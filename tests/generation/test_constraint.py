"""Constrained texts have the form that was asked for, with every kind of vocabulary that suits."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import Answer, compose_train
from textloom.config import GenerateConfig
from textloom.config.compose import command_config
from textloom.errors import ConfigError
from textloom.generation.constraint import build_grammar
from textloom.generation.generate import draw_texts, open_prompt
from textloom.generation.requests import Beams, Generated, Request, Rules
from textloom.generation.sampling import Sampling, TokenRules, text_seeds
from textloom.generation.text import Limits
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.run import Run
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.subword import BPETokenizer
from textloom.tokenizers.word import WordTokenizer

TEXT = 'Der Fuchs läuft {"name": "Fuß", "age": 12345} 67890.' * 9
TOKENIZERS = {
    "char": CharTokenizer.fit([[TEXT]], lowercase=False),
    "byte": ByteTokenizer(),
    "bpe": BPETokenizer.fit([[TEXT]], lowercase=False, maximum_size=280),
}
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


def drawn(tokenizer: Tokenizer, length: int = 60, beams: Beams | None = None, **keys: object) -> list[Generated]:
    """Texts of a model with random weights."""
    pytest.importorskip("llguidance")
    torch.manual_seed(0)
    built = RecurrentLanguageModel(compose_train("model.units=16").model, tokenizer.vocabulary_size).eval()
    config = command_config("generate", GenerateConfig, keys)
    rules = TokenRules(tokenizer.end_id, grammar=build_grammar(tokenizer, config))
    opening = open_prompt(built, tokenizer, "Der")
    requests = [Request(opening, Sampling(), seed) for seed in text_seeds(0, 4)]
    return draw_texts(built, tokenizer, requests, Rules(Limits(length), rules, beams=beams))


@every_tokenizer
def test_each_text_matches_the_regular_expression(tokenizer: Tokenizer) -> None:
    for one in drawn(tokenizer, regex="(Fuchs|läuft){1,3}[0-9]{2,4}"):
        assert one.ending == "end"
        assert re.fullmatch("(Fuchs|läuft){1,3}[0-9]{2,4}", one.text[3:])


@every_tokenizer
def test_each_text_consists_of_the_words(tokenizer: Tokenizer) -> None:
    for one in drawn(tokenizer, words=["Fuchs", "Fuß"]):
        assert set(one.text[3:].split(" ")) <= {"Fuchs", "Fuß"} or one.ending == "length"


@every_tokenizer
def test_each_text_is_json_of_the_schema(tokenizer: Tokenizer, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 99}}, "required": ["age"],
              "additionalProperties": False}  # fmt: skip
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    for one in drawn(tokenizer, 400, json_schema=str(tmp_path / "schema.json")):
        if one.ending == "end":
            assert json.loads(one.text[3:])["age"] <= 99
        else:
            assert one.text[3:].lstrip().startswith("{")


def test_beams_are_constrained_too() -> None:
    texts = drawn(TOKENIZERS["char"], beams=Beams(4), regex="Fuchs[0-9]{3}")
    assert len({one.text for one in texts}) == 4
    assert all(re.fullmatch("Fuchs[0-9]{3}", one.text[3:]) for one in texts)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"regex": "([a"}, r"regex: cannot be read \(.*unclosed character class"),
        ({"regex": "QQQ"}, "regex: no token of the vocabulary can begin such a text"),
        ({"words": ["QQ"]}, "words: no token of the vocabulary can begin such a text"),
        ({"json_schema": "missing.json"}, "json_schema=missing.json: cannot be read"),
        ({"regex": "a", "words": ["a"]}, "give one of them"),
    ],
)
def test_what_cannot_be_written_is_refused(keys: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        drawn(TOKENIZERS["char"], **keys)


def test_words_cannot_be_constrained() -> None:
    tokenizer = WordTokenizer.fit([[TEXT]], lowercase=False)
    with pytest.raises(ConfigError, match="the tokens of tokenizer=word write other spaces"):
        drawn(tokenizer, regex="Fuchs")


def test_the_command_writes_such_a_text_or_says_what_to_install(toy_run: Run, command: Callable[..., Answer]) -> None:
    answer = command("generate", f"run={toy_run.directory}", "prompt=deep learn", "regex=(ing|er){2}")
    try:
        import llguidance  # noqa: F401
    except ImportError:
        assert answer.status == 2
        assert "regex: needs llguidance; pip install 'textloom[constrained]'" in answer.err
    else:
        assert re.fullmatch("deep learn(ing|er){2}\n", answer.out)
