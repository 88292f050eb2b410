"""Generation: samples follow the model, and the state carried equals the text read again."""

from collections import Counter
from math import exp

import pytest
import torch

from conftest import compose_train
from textloom.errors import GenerationError
from textloom.generation.generate import default_prompt, generate, window_of
from textloom.generation.sampling import Sampling, draw
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.tokenizers.char import CharTokenizer

TEXT = "deep learning is learning from examples"
TOKENIZER = CharTokenizer.fit([TEXT], lowercase=False)


def model(spread: float = 3.0) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    built = RecurrentLanguageModel(compose_train("model.units=16").model, TOKENIZER.vocabulary_size)
    torch.nn.init.normal_(built.softmax.weight, std=spread)
    built.softmax.bias.data[TOKENIZER.end_id] = -100.0  # a text without end
    return built


def test_samples_follow_the_softmax() -> None:
    """Chi-square with 4 degrees of freedom; 18.5 is exceeded once in a thousand draws of the seed."""
    logits, draws = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5]), 20_000
    for temperature in (0.5, 1.0, 2.0):
        expected = (logits / temperature).softmax(0) * draws
        generator = torch.Generator().manual_seed(0)
        drawn = draw(logits.expand(draws, -1), Sampling(temperature), generator)
        counts = torch.bincount(drawn, minlength=5)
        assert float(((counts - expected) ** 2 / expected).sum()) < 18.5


def test_generated_texts_follow_the_softmax_too() -> None:
    """The whole way: the first character after a prompt, drawn 2,000 times, against the model's own probabilities."""
    built = model(spread=1.0).eval()
    hidden, _ = built(torch.tensor([[TOKENIZER.end_id, *TOKENIZER.encode("deep").tolist()]]))
    logits = built.logits(hidden[0, -1]).detach()
    logits[TOKENIZER.unknown_id] = float("-inf")
    probabilities = logits.softmax(0)
    counts = Counter(generate(built, TOKENIZER, "deep", 1, Sampling(1.0), seed=seed)[4:] for seed in range(2000))
    statistic = 0.0
    for character in TOKENIZER.characters:
        expected = 2000 * float(probabilities[TOKENIZER.encode(character)[0]])
        statistic += (counts[character] - expected) ** 2 / expected
    assert statistic < 39  # 16 degrees of freedom, exceeded once in a thousand


def test_temperature_towards_zero_equals_argmax() -> None:
    built = model()
    greedy = generate(built, TOKENIZER, "deep", 40, Sampling(0))
    assert generate(built, TOKENIZER, "deep", 40, Sampling(1e-30), seed=3) == greedy
    ids = [TOKENIZER.end_id, *TOKENIZER.encode("deep").tolist()]
    for _ in range(40):
        logits = built.logits(built(torch.tensor([ids]))[0][0, -1])
        logits[TOKENIZER.unknown_id] = float("-inf")
        ids.append(int(logits.argmax()))
    assert TOKENIZER.decode(ids) == greedy


def test_a_window_reads_its_last_tokens_anew() -> None:
    built = model()
    ids = [TOKENIZER.end_id, *TOKENIZER.encode("deep").tolist()]
    for _ in range(30):
        logits = built.logits(built(torch.tensor([ids[-6:]]))[0][0, -1])
        logits[TOKENIZER.unknown_id] = float("-inf")
        ids.append(int(logits.argmax()))
    assert TOKENIZER.decode(ids) == generate(built, TOKENIZER, "deep", 30, Sampling(0), window=6)


def test_window_of_is_the_context_of_windows_alone() -> None:
    assert window_of(compose_train("batching=windows", "batching.context=7").batching) == 7
    assert window_of(compose_train("batching=stream").batching) is None
    assert window_of(compose_train("batching=documents").batching) is None


def test_a_seed_gives_one_text_and_no_seed_gives_many() -> None:
    built = model(spread=0.1)
    assert len({generate(built, TOKENIZER, "deep", 40, Sampling(), seed=1) for _ in range(3)}) == 1
    assert len({generate(built, TOKENIZER, "deep", 40, Sampling()) for _ in range(3)}) == 3


def test_generation_leaves_training_as_it_was() -> None:
    built = model()
    before = torch.get_rng_state()
    built.train()
    generate(built, TOKENIZER, "deep", 5, Sampling())
    assert built.training
    assert torch.equal(torch.get_rng_state(), before)


def test_the_text_ends_where_the_model_ends_the_document() -> None:
    built = model()
    built.softmax.bias.data[TOKENIZER.end_id] = 100.0
    assert generate(built, TOKENIZER, "deep", 40, Sampling()) == "deep"


def test_unk_is_never_written() -> None:
    built = model()
    built.softmax.bias.data[TOKENIZER.unknown_id] = 100.0
    assert "<unk>" not in generate(built, TOKENIZER, "deep ?!", 20, Sampling())


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(GenerationError, match="the prompt is empty; give"):
        generate(model(), TOKENIZER, "", 1, Sampling())


def test_top_k_and_top_p_keep_the_likeliest() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5]).expand(5000, -1)
    assert set(draw(logits, Sampling(top_k=2)).tolist()) == {1, 2}
    assert set(draw(logits, Sampling(top_k=99)).tolist()) == {0, 1, 2, 3, 4}
    probabilities = logits[0].softmax(0)
    assert probabilities[2] < 0.6 < probabilities[2] + probabilities[1]
    assert set(draw(logits, Sampling(top_p=0.6)).tolist()) == {1, 2}
    assert set(draw(logits, Sampling(top_p=1e-9)).tolist()) == {2}
    share = draw(logits, Sampling(top_k=2), torch.Generator().manual_seed(0)).eq(2).double().mean()
    assert float(share) == pytest.approx(1 / (1 + exp(-1)), abs=0.03)


def test_the_default_prompt_is_the_beginning_of_the_text() -> None:
    assert default_prompt(TOKENIZER, TOKENIZER.encode("?" + TEXT)) == TEXT[:10]
