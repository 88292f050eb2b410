"""Beam search finds the likeliest texts, and keeps its promises on penalties, groups and windows."""

import itertools
from collections.abc import Callable

import pytest
import torch

from conftest import Answer, compose_train
from textloom.generation.beams import Found, search
from textloom.generation.generate import draw_texts, open_prompt
from textloom.generation.requests import Beams, Request, Rules
from textloom.generation.sampling import Sampling
from textloom.generation.text import Limits
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.run import Run
from textloom.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer.fit([["abc"]], lowercase=False)  # 5 tokens with <unk> and <eos>
PROMPT = tuple(TOKENIZER.encode("ab").tolist())


def model(end_bias: float = 0.0) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    built = RecurrentLanguageModel(compose_train("model.units=8").model, TOKENIZER.vocabulary_size)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter)
    built.softmax.bias.data[TOKENIZER.end_id] += end_bias
    return built.eval()


def found(
    built: RecurrentLanguageModel,
    beams: Beams,
    length: int,
    sampling: Sampling | None = None,
    window: int | None = None,
) -> list[Found]:
    request = Request(open_prompt(built, TOKENIZER, "ab", window), sampling or Sampling(), 0)
    return search(built, TOKENIZER, request, Rules(Limits(length), window=window, with_logprobs=True, beams=beams))


@torch.no_grad()
def log_probability(built: RecurrentLanguageModel, tokens: tuple[int, ...]) -> float:
    ids = torch.tensor([[TOKENIZER.end_id, *PROMPT, *tokens]])
    logits = built.logits(built(ids)[0][0, len(PROMPT) : -1])
    logits[:, TOKENIZER.unknown_id] = -torch.inf
    return float(logits.log_softmax(1).gather(1, torch.tensor(tokens)[:, None]).sum())


def everything(built: RecurrentLanguageModel, length: int, penalty: float) -> dict[tuple[int, ...], float]:
    """Each text of up to ``length`` tokens, with its score."""
    scores = {}
    for count in range(length + 1):
        for tokens in itertools.product((2, 3, 4), repeat=count):
            whole = tokens if count == length else (*tokens, TOKENIZER.end_id)
            scores[tokens] = log_probability(built, whole) / len(whole) ** penalty
    return scores


@pytest.mark.parametrize("end_bias", [-1.0, 1.0])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_search_as_wide_as_the_tree_finds_the_best_texts(end_bias: float, penalty: float) -> None:
    built = model(end_bias)
    scores = everything(built, 3, penalty)
    best = sorted(scores, key=lambda tokens: -scores[tokens])[:5]
    texts = found(built, Beams(64, length_penalty=penalty), 3)
    assert [tuple(one.tokens) for one in texts[:5]] == best
    for one in texts[:5]:
        assert one.score == pytest.approx(scores[tuple(one.tokens)], abs=1e-5)


def test_a_narrow_search_gives_texts_with_their_own_probabilities() -> None:
    built = model(-2.0)
    texts = found(built, Beams(4), 20)
    assert len({tuple(one.tokens) for one in texts}) == len(texts) == 4
    assert [one.score for one in texts] == sorted((one.score for one in texts), reverse=True)
    for one in texts:
        ended = () if len(one.tokens) == 20 else (TOKENIZER.end_id,)
        total = log_probability(built, (*one.tokens, *ended))
        assert one.score == pytest.approx(total / (len(one.tokens) + len(ended)), abs=1e-5)
        assert sum(one.logprobs) == pytest.approx(log_probability(built, tuple(one.tokens)), abs=1e-4)
    greedy = found(built, Beams(1), 20)[0]
    assert texts[0].score >= greedy.score


def test_one_beam_is_greedy() -> None:
    built = model(-100.0)
    opening = open_prompt(built, TOKENIZER, "ab")
    (greedy,) = draw_texts(built, TOKENIZER, [Request(opening, Sampling(0), 0)], Rules(Limits(20)))
    assert found(built, Beams(1), 20)[0].tokens == greedy.tokens


def test_groups_differ_as_much_as_they_are_made_to() -> None:
    built = model(-100.0)
    alone = found(built, Beams(2), 5)
    equal = found(built, Beams(6, groups=3), 5)  # three groups that find the same
    assert [one.tokens for one in equal] == [one.tokens for one in alone]
    apart = found(built, Beams(3, groups=3, diversity_penalty=1000.0), 5)
    for places in zip(*(one.tokens for one in apart), strict=True):
        assert len(set(places)) == 3


def test_penalties_act_on_each_beam() -> None:
    for one in found(model(-100.0), Beams(4), 8, Sampling(no_repeat_ngram_size=2)):
        pairs = list(itertools.pairwise([*PROMPT, *one.tokens]))
        assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("cell", ["lstm", "mingru"])
@pytest.mark.parametrize("window", [None, 3])
def test_states_follow_their_beams(cell: str, window: int | None) -> None:
    """Also for a cell that decodes by its forward, and for windows that are read again."""
    torch.manual_seed(1)
    config = compose_train(f"model={cell}", "model.units=8", "model.layers=2").model
    built = RecurrentLanguageModel(config, TOKENIZER.vocabulary_size).eval()
    fast = found(built, Beams(4), 12, window=window)
    built.recurrence.fast_layers = lambda rows: None  # type: ignore[method-assign]
    slow = found(built, Beams(4), 12, window=window)
    assert [one.tokens for one in fast] == [one.tokens for one in slow]
    assert [one.score for one in fast] == pytest.approx([one.score for one in slow], abs=1e-5)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["num_beams=1000"], "num_beams=1000: larger than the vocabulary of"),
        (["num_beams=4", "num_beam_groups=3"], "num_beam_groups=3: does not divide num_beams=4"),
        (["num_beams=4", "diversity_penalty=1"], "diversity_penalty: acts between groups of beams"),
        (["num_beams=4", "count=5"], "count=5: a search with num_beams=4 finds at most as many texts"),
        (["num_beams=4", "stream=true"], "stream: a beam search knows its text at the end"),
    ],
)
def test_a_mistake_is_one_line(toy_run: Run, command: Callable[..., Answer], typed: list[str], told: str) -> None:
    answer = command("generate", f"run={toy_run.directory}", "prompt=deep", *typed)
    assert answer.status == 2
    (line,) = [line for line in answer.err.splitlines() if not line.startswith("run: ")]
    assert told in line
