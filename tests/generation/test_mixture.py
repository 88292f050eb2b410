"""Runs that write together: averaged probabilities, and contrasts, by their definitions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import textloom
from conftest import Answer, train_run
from textloom.generation.mixture import PLAUSIBLE, MixedModel, Partner
from textloom.models.language_model import LanguageModel
from textloom.runs.run import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, toy_run: Run) -> dict[str, textloom.Run]:
    folder = tmp_path_factory.mktemp("runs")
    made = {"gru": ["model=gru"], "ngram": ["experiment=ngram"], "word": ["tokenizer=word"],
            "windows": ["batching=windows", "batching.stride=50"]}  # fmt: skip
    found = {name: train_run(folder / name, *overrides, "trainer.max_steps=5") for name, overrides in made.items()}
    return {name: textloom.Run(run.directory) for name, run in {**found, "toy": toy_run}.items()}


def next_token(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    """Log-probabilities after these tokens, (vocabulary,)."""
    decoder = model.decoder(1)
    for token in ids:
        decoder.read(torch.tensor([token]))
    return decoder.score()[0].float().log_softmax(0)


@torch.no_grad()
def test_probabilities_are_averaged_and_contrasted(runs: dict[str, textloom.Run]) -> None:
    one, two, counts = (runs[name].model for name in ("toy", "gru", "ngram"))
    ids = [1, *runs["toy"].tokenizer.encode("deep learn").tolist()]
    mixed = MixedModel(one, [Partner(two, "average", 0.2), Partner(counts, "average", 0.3)])
    expected = 0.5 * next_token(one, ids).exp() + 0.2 * next_token(two, ids).exp() + 0.3 * next_token(counts, ids).exp()
    assert torch.allclose(next_token(mixed, ids).exp(), expected, atol=1e-6)

    against = MixedModel(one, [Partner(counts, "contrast", 0.5)])
    expert, amateur = next_token(one, ids), next_token(counts, ids)
    decoder = against.decoder(1)
    for token in ids:
        decoder.read(torch.tensor([token]))
    plausible = expert.exp() >= PLAUSIBLE * expert.exp().max()
    scores = decoder.score()[0]
    assert torch.allclose(scores[plausible], (expert - 0.5 * amateur)[plausible], atol=1e-5)
    assert bool((scores[~plausible] == -torch.inf).all())


def test_a_run_mixed_with_itself_writes_its_own_text(runs: dict[str, textloom.Run]) -> None:
    toy = runs["toy"]
    prompt = "deep learning " * 40  # more than a block, which every model reads with a state of its own
    text = toy.generate(prompt, 20, temperature=0)
    assert toy.generate(prompt, 20, temperature=0, mix=[toy.directory]) == text
    for options in ({"mix": [runs["gru"].directory, runs["ngram"].directory]}, {"contrast": runs["ngram"].directory}):
        one, *others = toy.generate_texts(3, prompt, 20, seed=1, **options)
        assert one == toy.generate(prompt, 20, seed=1, **options)
        assert toy.generate_texts(2, "deep", 9, num_beams=3, **options)[0].startswith("deep")
        assert len(others) == 2


def test_partners_that_do_not_fit_are_refused_in_one_line(
    runs: dict[str, textloom.Run], command: Callable[..., Answer]
) -> None:
    toy = runs["toy"].directory
    for typed, told in {
        f"mix={runs['word'].directory}": "has another tokenizer (word, ",
        f"contrast={runs['windows'].directory}": "reads windows of 50 tokens, and ",
        "mix=missing": "there is no such directory",
        "mix_weight=1": "mix_weight=1: must be less than 1",
    }.items():
        answer = command("generate", f"run={toy}", "prompt=deep", typed)
        assert answer.status == 2, answer.out
        (line,) = [line for line in answer.err.splitlines() if not line.startswith("run: ")]
        assert told in line
    assert Path(toy).exists()
