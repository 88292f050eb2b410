"""A budget of parameters: the largest model that keeps within it, and a run that knows its size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TINY, Answer, compose_train, model_config, own_keys, train_run
from textloom.config import CELLS, ModelConfig
from textloom.errors import ConfigError
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.models.size import count, sized
from textloom.runs.checkpoints import load_model
from textloom.training.resume import resumed_config
from textloom.training.tensorboard import hyperparameters
from textloom.training.train import train

KEYS = {"input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
BUDGET = ["model.units=auto", "model.parameters=5e3", "model.embedding_dim=4"]


def config(**keys: Any) -> ModelConfig:
    values = {"cell": "lstm", "units": "auto", "layers": 1, "embedding_dim": 5, "tied_weights": False, **KEYS, **keys}
    return model_config({**own_keys(values["cell"]), **values})


def built(asked: ModelConfig, vocabulary: int) -> int:
    return parameter_count(RecurrentLanguageModel(asked, vocabulary))


@settings(max_examples=250)
@given(
    cell=st.sampled_from(CELLS.names),
    layers=st.integers(1, 3),
    embedding_dim=st.one_of(st.none(), st.integers(1, 20)),
    tied=st.booleans(),
    projection=st.booleans(),
    vocabulary=st.integers(2, 60),
    budget=st.integers(500, 20_000),
)
def test_the_largest_model_within_the_budget(
    cell: str, layers: int, embedding_dim: int | None, tied: bool, projection: bool, vocabulary: int, budget: int
) -> None:
    """Against models that are built: one unit more is too many."""
    tied = tied and cell != "awd_lstm"  # whose last layer then has the size of the embedding
    projection = projection and embedding_dim is not None
    keys = {"layers": layers, "embedding_dim": embedding_dim, "tied_weights": tied, "output_projection": projection}
    asked = config(cell=cell, **keys, parameters=budget)
    try:
        found = sized(asked, vocabulary)
    except ConfigError:
        assert built(_with(asked, 1), vocabulary) > budget
        return
    assert found.embedding_dim == (found.units if tied and not projection else embedding_dim)
    assert built(found, vocabulary) == count(asked, found.units, vocabulary) <= budget
    assert built(_with(asked, found.units + 1), vocabulary) > budget
    assert sized(found, vocabulary) == found


def _with(asked: ModelConfig, units: int) -> ModelConfig:
    embedding_dim = units if asked.tied_weights and not asked.output_projection else asked.embedding_dim
    return asked.model_copy(update={"units": units, "embedding_dim": embedding_dim, "parameters": None})


def test_a_million_is_written_as_one_does() -> None:
    assert compose_train("model.units=auto", "model.parameters=1e6").model.parameters == 1_000_000


def test_a_budget_for_less_than_one_unit_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^model\.parameters=99: a lstm with one unit and a vocabulary of 5,000 has 35"
    ):
        sized(config(parameters=99), 5_000)


def test_units_and_another_budget_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.units=8: model\.parameters=20000 leads to \d+ units .* set "):
        train_run(tmp_path / "run", "model.parameters=2e4")  # the tiny runs have 8 units


def test_a_run_stores_its_size_and_resumes_by_the_command_that_made_it(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", *BUDGET)
    units = run.config().model.units
    assert isinstance(units, int)
    assert units > 8
    assert yaml.safe_load(run.config_file.read_text())["model"]["units"] == units
    assert 4_900 < run.results()["parameters"] <= 5_000
    assert parameter_count(load_model(run, "best")[2]) == run.results()["parameters"]
    shown = hyperparameters(run.config())
    assert shown["model.units"] == units
    assert shown["model.parameters"] == 5_000

    typed = [override for override in [*TINY, *BUDGET] if "max_epochs" not in override]
    resumed = resumed_config(run, [*typed, "trainer.max_epochs=2"])
    assert resumed.model == run.config().model
    steps = run.results()["steps"]
    assert train(resumed, run, typed).results["steps"] == 2 * steps
    with pytest.raises(ConfigError, match=r"^model\.parameters=6000\.0: the run was made with model\.parameters=5000"):
        resumed_config(run, ["model.parameters=6e3"])


def test_a_sized_run_is_exported_and_writes(command: Callable[..., Answer], tmp_path: Path) -> None:
    train_run(tmp_path / "run", *BUDGET, "model.tied_weights=true")
    assert command("export", "run=run", "to=mine").status == 0
    answer = command("generate", "run=mine", "prompt=deep", "length=5")
    assert answer.status == 0, answer.err
    assert answer.out.startswith("deep")
