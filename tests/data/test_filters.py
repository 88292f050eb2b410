"""Filters: a value that YAML or the command line has changed is refused."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from conftest import compose_train, read_documents
from textloom.config import DataConfig, TrainConfig
from textloom.config.checking import check
from textloom.errors import ConfigError, DataError

ROWS = [
    ("lang", ["no", "da", "no", "sv"]),
    ("flag", ["true", "False", "TRUE", "no"]),
    ("id", ["007", "017", "015", "9007199254740993"]),
    ("time", ["12:30:00", "12:31:00", "0x11", "1_000"]),
    ("day", ["2024-01-01", "2024-01-02", "2024-02-01", "2025-01-01"]),
    ("number", ["1e5", "100000", "0o17", "1.50"]),
    ("größe", ["größer", "gro\u0308ßer", "on", "off"]),
    ("bits", ["0b11", "3", "x", "y"]),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    names, columns = zip(*ROWS, strict=True)
    lines = [
        ",".join(("text", *names)),
        *(f"row {i}," + ",".join(row) for i, row in enumerate(zip(*columns, strict=True))),
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"


def from_yaml(filters: str) -> DataConfig:
    """As an experiment's YAML file gives them: read by OmegaConf."""
    values = copy.deepcopy(composed())
    Path("filters.yaml").write_text(f"filters:\n  {filters}\n")
    values["data"]["filters"] = OmegaConf.to_container(OmegaConf.load("filters.yaml"))["filters"]
    return check(values, TrainConfig).data


@functools.cache
def composed() -> dict[str, Any]:
    return compose_train("data=table", "data.path=table.csv").model_dump(mode="json")


def kept(config: DataConfig) -> list[int]:
    return [int(text.split()[1]) for text in read_documents(config)]


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ("lang: 'no'", [0, 2]),
        ("lang: ['no', da]", [0, 1, 2]),
        ("flag: true", [0, 2]),
        ("id: '017'", [1]),
        ("id: 7", [0]),
        ("id: 9007199254740993", [3]),  # exact, though no float is
        ("time: '12:30:00'", [0]),
        ("time: 1_000", [3]),
        ("day: 2024-01-01", [0]),
        ("day: {min: 2024-01-02, max: 2024-02-01}", [1, 2]),
        ("number: 1e5", [0, 1]),
        ("number: 0o17", [2]),
        ("number: 1.5", [3]),
        ("größe: größer", [0, 1]),
        ("gro\u0308ße: größer", [0, 1]),
    ],
)
def test_a_filter_in_yaml_is_right(filters: str, rows: list[int], table: Path) -> None:
    assert kept(from_yaml(filters)) == rows


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("lang: no", "data.filters.lang=false: the column holds 'no', which YAML reads as false without quotes"),
        ("lang: [no, da]", "data.filters.lang=false: the column holds 'no'"),
        ("größe: on", "data.filters.größe=true: the column holds 'on'"),
        ("größe: Off", "data.filters.größe=false: the column holds 'off'"),
        ("id: 017", "data.filters.id=15: the column holds '017', which YAML reads as 15 without quotes; write"),
        ("time: 12:30:00", "data.filters.time=45000: the column holds '12:30:00'"),
        ("time: 0x11", "data.filters.time=17: the column holds '0x11'"),
        ("time: {min: 12:00:00}", "data.filters.time: the column holds '12:30:00', which YAML reads as a number"),
        ("bits: 0b11", "data.filters.bits=3: the column holds '0b11'"),
        ("lang: yes", "(lang=true; YAML reads yes, no, on and off as true or false: put them in quotes)"),
        ("lang: null", "data.filters.lang=null: no value; put 'null' in quotes"),
        ("lang: ~", "data.filters.lang=null: no value; put 'null' in quotes"),
        ("lang:", "data.filters.lang=null: no value"),
        ("lang: [da, null]", "data.filters.lang=null: no value"),
        ("lang: {min: no}", "data.filters.lang: true and false are not bounds"),
        ("lang: .nan", "data.filters.lang=nan: not a number to compare with"),
        ("lang: [[da]]", "data.filters.lang=['da']: must be a value, a list of values, or {min: A, max: B}"),
        ("no: da", "data.filters.false: a column's name that YAML reads as false; put the name in quotes"),
    ],
)
def test_a_filter_that_yaml_changes_is_refused_with_the_quotes_it_needs(
    filters: str, message: str, table: Path
) -> None:
    with pytest.raises((DataError, ConfigError)) as caught:
        kept(from_yaml(filters))
    (line,) = str(caught.value).splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ("{lang:no}", [0, 2]),
        ("{lang:[no,da]}", [0, 1, 2]),
        ("{id:017}", [1]),
        ("{day:2024-01-01}", [0]),
        ("{number:1e5}", [0, 1]),
    ],
)
def test_a_filter_on_the_command_line_is_right(filters: str, rows: list[int], table: Path) -> None:
    assert kept(compose_train("data=table", "data.path=table.csv", f"data.filters={filters}").data) == rows


def test_a_filter_survives_the_config_of_a_run(table: Path) -> None:
    config = from_yaml("lang: ['no', '017', '2024-01-01', '1e5', '~']")
    written = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))
    assert type(config).model_validate(written) == config


def test_dates_and_numbers_of_parquet_are_compared_as_what_they_are(tmp_path: Path) -> None:
    import datetime

    import pandas

    days = pandas.to_datetime(["2024-01-01", "2024-01-02"])
    frame = pandas.DataFrame(
        {"text": ["row 0", "row 1"], "at": days, "day": days.date, "n": [1.0, 2.0], "b": [True, False]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    assert frame["day"][0] == datetime.date(2024, 1, 1)
    data = ["data=table", "data.path=t.parquet"]
    for filters in ("{at:2024-01-01}", "{day:2024-01-01}", "{n:1}", "{n:'1'}", "{b:true}", "{b:'true'}"):
        assert kept(compose_train(*data, f"data.filters={filters}").data) == [0]
