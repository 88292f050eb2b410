"""Search spaces: points and intervals."""

from typing import Any

import pytest

from textloom.errors import ConfigError
from textloom.sweeps.space import Choices, Interval, read_space
from textloom.sweeps.trials import LONGEST_NAME, directory_name

NO_GROUPS: Any = None  # globs alone ask Hydra for the files of a group
CONDITIONAL = {"model.layers=2,3": {"model.layer_dropout": "0.1,0.2"}, "optimizer=sgd": {"optimizer.momentum": "0.9"}}


def test_the_grid_has_all_combinations_the_first_key_slowest() -> None:
    space = read_space(["a=1,2", "b=range(1,3)", "c=x"], {}, {}, NO_GROUPS)
    assert [tuple(point.values()) for point in space.grid()] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert space.fixed == {"c": "x"}
    assert space.keys == ["a", "b"]


def test_a_key_under_a_condition_exists_only_there() -> None:
    space = read_space(["model.layers=1,2", "optimizer=adam,sgd"], {}, CONDITIONAL, NO_GROUPS)
    assert {",".join(f"{key}={text}" for key, text in point.items()) for point in space.grid()} == {
        "model.layers=1,optimizer=adam",
        "model.layers=1,optimizer=sgd,optimizer.momentum=0.9",
        "model.layers=2,optimizer=adam,model.layer_dropout=0.1",
        "model.layers=2,optimizer=adam,model.layer_dropout=0.2",
        "model.layers=2,optimizer=sgd,model.layer_dropout=0.1,optimizer.momentum=0.9",
        "model.layers=2,optimizer=sgd,model.layer_dropout=0.2,optimizer.momentum=0.9",
    }


def test_what_is_typed_takes_the_place_of_what_is_written() -> None:
    written = {"model.units": "64,128", "optimizer.learning_rate": "tag(log, interval(1e-4, 1e-2))"}
    space = read_space(["model.units=32", "seed=1,2"], written, {}, NO_GROUPS)
    assert space.fixed == {"model.units": "32"}
    assert space.keys == ["optimizer.learning_rate", "seed"]
    assert space.parameters[0].domain == Interval(1e-4, 1e-2, log=True, whole=False)
    assert space.parameters[1].domain == Choices((1, 2), ("1", "2"))


def test_the_edges_show_every_choice_and_both_ends_of_every_interval() -> None:
    where = {"model.layers=2": {"model.layer_dropout": "interval(0.0,0.5)"}}
    space = read_space(["model.layers=1,2", "model.units=int(interval(8,64))"], {}, where, NO_GROUPS)
    seen = {item for point in space.edges() for item in point.items()}
    assert seen == {
        ("model.layers", "1"), ("model.layers", "2"), ("model.units", "8"), ("model.units", "64"),
        ("model.layer_dropout", "0.0"), ("model.layer_dropout", "0.5"),
    }  # fmt: skip
    assert all(("model.layer_dropout" in point) == (point["model.layers"] == "2") for point in space.edges())


def test_a_condition_on_what_the_sweep_does_not_set_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sweep\.when: model\.layers=2,3: the sweep does not set this key"):
        read_space(["seed=1,2", "optimizer=adam"], {}, CONDITIONAL, NO_GROUPS)


def test_a_space_that_cannot_be_read_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"sweep\.space: model\.units: interval\(1 cannot be read; write a,b or"):
        read_space([], {"model.units": "interval(1"}, {}, NO_GROUPS)


def test_directories_have_names_that_file_systems_take_and_none_is_given_twice() -> None:
    assert directory_name({"model.units": "64", "tokenizer": "char"}) == "model.units=64,tokenizer=char"
    paths = [{"data.path": f"/some/{'very' * 40}/long/{name}.txt"} for name in "ab"]
    names = {directory_name(point) for point in paths}
    assert len(names) == 2
    assert all(len(name) <= LONGEST_NAME and "/" not in name for name in names)
    assert directory_name({"optimizer.learning_rate": "0.001234567890123", "x" * 100: "1"}).startswith(
        "learning_rate=0.001235,"
    )
