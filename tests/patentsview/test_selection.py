"""The zipped tables are read as they really are, and the patents asked for come out of them, all and no others."""

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from fake_portal import ABSTRACT, tables, zipped

from conftest import compose_train, read_documents
from textloom.config.patents import PatentSelection
from textloom.data.normalization import normalize_text
from textloom.data.notes import Notes
from textloom.data.patentsview import selection as module
from textloom.data.patentsview.selection import pattern, select
from textloom.data.patentsview.tables import stream_table
from textloom.data.reading.contents import Content
from textloom.data.reading.tables import read_table
from textloom.errors import ConfigError, DataError

HARD = [
    'A "quoted" network',
    "two\nlines\r\nand a\ttab",
    "",
    "x" * 1_000_000 + ' "end"',
    'ends with a quote"',
    '"',
    "ünïcödé ☃",
    "NA",
    "007",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in tables().items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def selected(folder: Path, **keys: Any) -> list[dict[str, str]]:
    target = folder / "selected.parquet"
    count = select(PatentSelection(source="odp", **keys), folder, target)
    rows: list[dict[str, str]] = parquet.read_table(target).to_pylist()
    assert len(rows) == count
    assert {path.name for path in folder.iterdir()} == {*tables(), "selected.parquet"}  # nothing is left lying about
    return rows


def numbers(rows: list[dict[str, str]]) -> set[int]:
    """The rows of the test's tables that these are."""
    ids = {"D345393": 38, "RE49000": 39}
    return {ids[row["patent_id"]] if row["patent_id"] in ids else int(row["patent_id"]) - 10_000_000 for row in rows}


KEPT = {number for number in range(40) if number % 10}  # the others are withdrawn


@pytest.mark.parametrize("block", [2 << 20, 8 << 20])
def test_fields_come_out_of_a_zipped_table_as_they_went_in(tmp_path: Path, block: int) -> None:
    rows = [(str(number), text) for number, text in enumerate(HARD)] * 3
    path = tmp_path / "g_patent_abstract.tsv.zip"
    path.write_bytes(zipped(path.name, ["patent_id", "patent_abstract"], rows))
    batches = list(stream_table(path, ["patent_abstract", "patent_id"], block))
    read = [(i, text) for batch in batches for text, i in zip(*map(list, batch.to_pydict().values()), strict=True)]
    assert read == rows
    assert len(batches) > 1 or block > 2 << 20


def names_in(path: Path) -> list[str]:
    return list(next(read_table(Content(path), Notes())).names)


def test_the_unzipped_table_is_recognised_as_data_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "g_patent_abstract.tsv.zip"
    path.write_bytes(
        zipped(path.name, ["patent_id", "patent_abstract"], [(str(i), text) for i, text in enumerate(HARD)])
    )
    zipfile.ZipFile(path).extractall(tmp_path)
    assert names_in(tmp_path / "g_patent_abstract.tsv") == [
        "patent_id",
        "patent_abstract",
    ]
    documents = read_documents(compose_train("data=patents", "data.path=g_patent_abstract.tsv").data)
    assert documents == [normalize_text(text, "nfc") for text in HARD if text]


def test_the_articles_quoting_is_recognised(real_data: Path) -> None:
    path = real_data / "patents/neural_network_patent_query.csv"
    assert names_in(path) == [
        "patent_abstract",
        "patent_date",
        "patent_number",
        "patent_title",
    ]
    with path.open(encoding="utf-8", newline="") as file:
        expected = [row["patent_abstract"] for row in csv.DictReader(file)]
    assert any('"' in text for text in expected)
    assert read_documents(compose_train("data=patents", f"data.path={path}").data) == expected


def test_rows_of_another_length_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "table.tsv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.tsv", '"a"\t"b"\n"1"\t"one"\n"2"\n"3"\t"x"\t"y"\n"4"\t"four"\n')
    (batch,) = stream_table(path, ["a"])
    assert batch["a"].to_pylist() == ["1", "4"]
    assert "table.tsv.zip: 2 rows left out" in caplog.text


def test_a_phrase_is_found_in_title_or_abstract_and_withdrawn_patents_are_not(folder: Path) -> None:
    rows = selected(folder, query="neural network*")
    assert numbers(rows) == {number for number in KEPT if number % 2 or number % 4 == 0}
    row = next(row for row in rows if row["patent_id"] == "10000007")
    assert row == {
        "patent_id": "10000007",
        "patent_title": 'Title "7"',
        "patent_abstract": ABSTRACT.format(7, 49),
        "patent_date": "2007-01-02",
    }
    by_title = next(row for row in rows if row["patent_id"] == "10000004")
    assert (by_title["patent_title"], by_title["patent_abstract"]) == ("Neural-networks at work", "A door, 4.")


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("neural network*", "Neural\nNETWORKS", True),
        ("neural network*", "neural-network", True),
        ("neural network", "neural networks", False),
        ("neural network", "a neural network.", True),
        ("neural network", "aneural network", False),
        ("*net", "a Subnet works", True),
        ("net", "a Subnet works", False),
        ("a.b (c)", "about a.b (c) and", True),
        ("a.b", "a b", False),
        ("deep-learning", "deep learning", True),
        ("c++", "in C++ code", True),
    ],
)
def test_a_phrase_means_whole_words_and_a_star_the_rest_of_one(query: str, text: str, found: bool) -> None:
    import pyarrow as pa

    expression = pattern(PatentSelection(source="odp", query=query))
    assert module._matches(pa.array([text]), expression).tolist() == [found]


def test_a_regular_expression_years_and_classes_each_narrow_the_selection(folder: Path) -> None:
    assert numbers(selected(folder, regex=r"number [12]\d,")) == {n for n in KEPT if n % 2 and 10 <= n < 30}
    assert numbers(selected(folder, first_year=2015)) == {n for n in KEPT if n % 20 >= 15}
    assert numbers(selected(folder, first_year=2003, last_year=2004)) == {3, 4, 23, 24}
    assert numbers(selected(folder, cpc=("G06N3",))) == {n for n in KEPT if n % 4 == 0}
    assert numbers(selected(folder, cpc=("G06N20/00", "H04"))) == {n for n in KEPT if n % 4 in (1, 3)}
    assert numbers(selected(folder, cpc=("G",))) == {n for n in KEPT if n % 4 != 3}
    assert numbers(selected(folder, cpc=("G06N3",), query="neural", last_year=2009)) == {4, 8, 24, 28}
    assert numbers(selected(folder)) == KEPT


def test_small_blocks_and_many_passes_give_the_same_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = selected(folder, query="neural network*")
    monkeypatch.setattr(module, "TITLES_AT_ONCE", 5)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    target = folder / "small.parquet"
    select(PatentSelection(source="odp", query="neural network*"), folder, target, block=600)
    assert parquet.read_table(target).to_pylist() == whole


def test_a_selection_without_a_patent_is_reported_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(DataError, match="no patent matches; widen"):
        selected(folder, query="perpetual motion")
    assert {path.name for path in folder.iterdir()} == set(tables())


def test_a_mistake_in_an_expression_is_reported(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.regex=\(: not a regular expression of RE2 \(.*missing \)"):
        selected(folder, regex="(")


def test_tables_that_are_not_what_they_should_be_are_reported(tmp_path: Path) -> None:
    good = zipped("t.tsv.zip", ["patent_id", "x"], [(str(i), str(i * i)) for i in range(9999)])
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.pdf", "x")
    cases = {
        "damaged": bytes(bad),
        "cut": good[:-100],
        "holds no .tsv file": other.getvalue(),
        "not the table that it should be": zipped("t.tsv.zip", ["patent_id", "y"], [("1", "2")]),
    }
    for message, content in cases.items():
        path = tmp_path / "t.tsv.zip"
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged" if message == "cut" else message) as caught:
            list(stream_table(path, ["patent_id", "x"]))
        assert len(str(caught.value).splitlines()) == 1
    long = zipped("t.tsv.zip", ["patent_id", "x"], [("1", "x" * 5000)])
    path.write_bytes(long)
    with pytest.raises(DataError, match="not the table that it should be"):
        list(stream_table(path, ["x"], block=1000))
