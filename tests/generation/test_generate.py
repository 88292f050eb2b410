"""Generation: samples follow the model, and the state carried equals the text read again."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Answer, compose_train, train_run
from textloom.config import GenerateConfig
from textloom.errors import GenerationError
from textloom.generation.generate import default_prompt, generate, generate_texts, window_of
from textloom.generation.sampling import Sampling, TokenSampler
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


def drawn(logits: torch.Tensor, sampling: Sampling, draws: int) -> torch.Tensor:
    """So many independent draws from the same logits: each from the one text's next random number."""
    sampler = TokenSampler([sampling], len(logits), logits.device)
    return sampler.draw(logits.expand(draws, -1), sampler.uniforms([0], draws)[:, 0])


def test_samples_follow_the_softmax() -> None:
    """Chi-square with 4 degrees of freedom; 18.5 is exceeded once in a thousand draws of the seed."""
    logits, draws = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5]), 20_000
    for temperature in (0.5, 1.0, 2.0):
        expected = (logits / temperature).softmax(0) * draws
        counts = torch.bincount(drawn(logits, Sampling(temperature), draws), minlength=5)
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


def test_a_window_reads_its_last_tokens_again() -> None:
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
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])
    assert set(drawn(logits, Sampling(top_k=2), 5000).tolist()) == {1, 2}
    assert set(drawn(logits, Sampling(top_k=99), 5000).tolist()) == {0, 1, 2, 3, 4}
    probabilities = logits.softmax(0)
    assert probabilities[2] < 0.6 < probabilities[2] + probabilities[1]
    assert set(drawn(logits, Sampling(top_p=0.6), 5000).tolist()) == {1, 2}
    assert set(drawn(logits, Sampling(top_p=1e-9), 5000).tolist()) == {2}
    share = drawn(logits, Sampling(top_k=2), 5000).eq(2).double().mean()
    assert float(share) == pytest.approx(1 / (1 + exp(-1)), abs=0.03)


def test_every_field_of_a_sampling_is_a_key_of_generate() -> None:
    keys = {field.name for field in fields(Sampling)}
    assert keys <= set(GenerateConfig.model_fields)
    config = GenerateConfig.model_construct(temperature=0.5, top_k=3, top_p=0.9)
    assert Sampling.of(config) == Sampling(temperature=0.5, top_k=3, top_p=0.9)


def test_each_row_is_drawn_in_its_own_way() -> None:
    ways = [Sampling(0), Sampling(1.0), Sampling(1.0, top_k=2), Sampling(1.0, top_p=0.6), Sampling(3.0, top_k=4)]
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])
    together = TokenSampler(ways, 5, logits.device)
    uniforms = together.uniforms(range(5), 3000)
    found = torch.stack([together.draw(logits.expand(5, -1), some) for some in uniforms])  # (draws, rows)
    for row, sampling in enumerate(ways):
        alone = TokenSampler([sampling], 5, logits.device).draw(logits.expand(3000, -1), uniforms[:, row])
        assert torch.equal(found[:, row], alone)
    assert [len(set(found[:, row].tolist())) for row in range(5)] == [1, 5, 2, 2, 4]


def test_a_token_without_probability_is_never_drawn() -> None:
    """Whatever the random number: the smallest and the largest that there are, before, between and after the others."""
    banned = float("-inf")
    logits = torch.tensor([[banned, 1.0, banned, 0.0, banned]]).expand(2, -1)
    sampler = TokenSampler([Sampling(1.0)] * 2, 5, logits.device)
    ends = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64)
    assert sampler.draw(logits, ends).tolist() == [1, 3]


def test_greedy_sampling_takes_the_first_of_equally_likely_tokens() -> None:
    assert set(drawn(torch.tensor([0.0, 2.0, 2.0, 2.0]), Sampling(0), 50).tolist()) == {1}


def test_the_default_prompt_is_the_beginning_of_the_text() -> None:
    assert default_prompt(TOKENIZER, TOKENIZER.encode("?" + TEXT)) == TEXT[:10]


def test_short_documents_are_written_from_their_beginning() -> None:
    names = ["deep", "learn", "sample", "rain"]
    end = [TOKENIZER.end_id]
    tokens = np.concatenate([end, *(np.concatenate([TOKENIZER.encode(name), end]) for name in names)])
    assert default_prompt(TOKENIZER, tokens) == ""
    alone = generate_texts(model(), TOKENIZER, None, 30, [Sampling(1.0)] * 3, seed=1)
    assert len(set(alone)) == 3
    assert all(len(text) == 30 for text in alone)  # the model never ends a text
    ending = model()
    ending.softmax.bias.data[TOKENIZER.end_id] = 100.0
    assert [len(text) for text in generate_texts(ending, TOKENIZER, None, 30, [Sampling(1.0)] * 5, seed=1)] == [1] * 5


def test_a_model_of_lines_writes_single_lines_from_its_export_too(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("".join(f"name{chr(97 + i % 26)}{chr(97 + i // 26)}\n" for i in range(200)))
    train_run(tmp_path / "run", "data=text_files", "data.path=names.txt", "data.documents=line", "trainer.batch_size=8")
    assert command("export", "run=run", "to=exported").status == 0
    written = [command("generate", f"run={run}", "count=20", "seed=1").out for run in ("run", "exported")]
    texts = re.split(r"--- text \d+ of 20 ---\n", written[0])[1:]
    assert len(texts) == 20
    assert all(re.fullmatch(r"[a-z0-9]+\n\n", text) for text in texts)
    assert written[1] == written[0]


def test_a_prompt_that_does_not_fill_the_window_is_pointed_out(tmp_path: Path, command: Callable[..., Answer]) -> None:
    train_run(tmp_path / "windows", "batching=windows", "batching.context=6", "batching.stride=50")
    train_run(tmp_path / "ngram", "experiment=ngram", "batching=windows", "batching.context=6")
    hint = "the prompt has 4 tokens, and the model was trained on windows of 6"
    assert hint in command("generate", "run=windows", "prompt=deep", "length=5").err
    for typed in (["run=windows", "prompt=deep learning"], ["run=windows"], ["run=ngram", "prompt=deep"]):
        assert "windows of 6" not in command("generate", *typed, "length=5").err
