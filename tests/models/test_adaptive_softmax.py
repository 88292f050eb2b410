"""The adaptive softmax: the same promises as the dense one, and rare tokens in clusters."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from conftest import compose_train, train_run
from textloom.config import ModelConfig
from textloom.data.encoding import load_splits
from textloom.errors import ConfigError
from textloom.evaluation.evaluate import Tally, evaluate_run
from textloom.evaluation.protocol_batches import validation_batches
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.models.size import count
from textloom.runs.checkpoints import load_model
from textloom.training.callbacks.efficiency import flops_per_target
from textloom.training.loss import mean_nats

SIZE, UNITS = 90, 16
CUTOFFS = "model.softmax_cutoffs=[20,50]"


def config(*overrides: str) -> ModelConfig:
    model = compose_train(f"model.units={UNITS}", CUTOFFS, *overrides).model
    assert isinstance(model, ModelConfig)
    return model


@pytest.fixture
def model() -> RecurrentLanguageModel:
    torch.manual_seed(0)
    built = RecurrentLanguageModel(config(), SIZE)
    for parameter in built.softmax.parameters():  # far from uniform, so that every mistake shows
        torch.nn.init.normal_(parameter)
    return built


def test_probabilities_sum_to_one_over_all_clusters(model: RecurrentLanguageModel) -> None:
    hidden = torch.randn(3, 4, UNITS)
    assert torch.allclose(model.logits(hidden).exp().sum(dim=2), torch.ones(3, 4))


def test_the_loss_is_that_of_its_own_probabilities(model: RecurrentLanguageModel) -> None:
    hidden, targets = torch.randn(40, UNITS), torch.randint(SIZE, (40,))
    nats = -model.logits(hidden).gather(1, targets[:, None])
    assert torch.allclose(mean_nats(model.softmax, hidden, targets), nats.mean())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(mean_nats(model.softmax, hidden, targets), nats.mean())


def test_an_evaluation_sees_the_probabilities_that_generation_draws_from(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "tokenizer=word", f"model.units={UNITS}", CUTOFFS)
    _, _, model = load_model(run, "best")
    part = load_splits(run.tokens)["val"]
    nats, right, tally = 0.0, 0, Tally()
    for batch in validation_batches(run.config().batching, part, 1).batches(epoch=0):
        tally.add(model, batch)
        with torch.no_grad():
            logits = model.logits(model(batch.inputs)[0].flatten(0, 1))
        nats -= float(logits.gather(1, batch.targets[:, None]).sum())
        right += int((logits.argmax(dim=1) == batch.targets).sum())
    score = tally.score(part)
    assert score.loss == pytest.approx(nats / part.targets)
    assert score.accuracy == right / part.targets
    results = run.results()
    assert {name: results[name] for name in results if name.startswith(("val/", "test/"))} == evaluate_run(run)
    assert results["parameters"] == parameter_count(model)


@pytest.mark.parametrize("embedding_dim", ["null", "8"])
def test_its_size_is_counted_before_it_is_built(embedding_dim: str) -> None:
    sizes = config(f"model.embedding_dim={embedding_dim}")
    assert count(sizes, UNITS, SIZE) == parameter_count(RecurrentLanguageModel(sizes, SIZE))


def test_its_flops_are_those_of_the_clusters_that_targets_reach(model: RecurrentLanguageModel) -> None:
    targets = np.repeat([3, 30, 70], [7, 2, 1])
    with FlopCounterMode(display=False) as counter:
        hidden = torch.randn(len(targets), UNITS, requires_grad=True)
        mean_nats(model.softmax, hidden, torch.from_numpy(targets)).backward()
    recurrence = 6 * 4 * UNITS * (64 + UNITS)
    counted = len(targets) * (flops_per_target(config(), SIZE, 1.0, targets) - recurrence)
    assert counted == pytest.approx(counter.get_total_flops())


def test_the_first_cutoff_holds_the_most_frequent_words(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "tokenizer=word", f"model.units={UNITS}", CUTOFFS)
    counted = Counter(load_splits(run.tokens)["train"].tokens.tolist())
    first = [counted[token] for token in range(3, 20)]
    assert min(first) >= max(count for token, count in counted.items() if token >= 20)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.softmax_cutoffs=[20,90]"], "90 leaves no token for the last cluster, the vocabulary has 90; lower it"),
        (["model.softmax_cutoffs=[20,40,60]"], "3 clusters need 64 units, model.units is 16; give fewer cutoffs"),
        (["model.softmax_cutoffs=[20,20]"], "softmax_cutoffs must be rising ids"),
        (["model.tied_weights=true", f"model.embedding_dim={UNITS}"], "softmax_cutoffs and tied_weights exclude"),
    ],
)
def test_cutoffs_that_do_not_fit_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecurrentLanguageModel(config(*overrides), SIZE)
