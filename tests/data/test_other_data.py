"""Other data: tables of any kind, given splits, well-known splits, and the Hub's layout."""

import gzip
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from conftest import Answer, compose_train, documents_of, read_documents, train_run
from textloom.config import DataConfig
from textloom.data.cache import load_corpus
from textloom.errors import ConfigError, DataError
from textloom.system.files import read_json

ROWS = [
    {
        "title": f"Title {i}",
        "abstract": f'text "{i}",\nof {"two" if i % 2 else "one"}',
        "year": 2000 + i,
        "lang": "en" if i % 3 else "de",
    }
    for i in range(10)
]


def data(*overrides: str) -> DataConfig:
    return compose_train(*overrides).data


def read(*overrides: str) -> list[str]:
    return read_documents(data(*overrides))


def parts(*overrides: str) -> dict[str, list[str]]:
    return {name: documents_of(part.pieces()) for name, part in load_corpus(data(*overrides)).splits.items()}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    import pandas

    pandas.DataFrame(ROWS).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


TABLE = ["data=table", "data.path=table.csv", "data.text_column=title"]


@pytest.mark.parametrize("compression", ["gz", "zip", "zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_compressed_tables_hold_what_plain_ones_do(kind: str, compression: str, tmp_path: Path) -> None:
    import pandas

    frame, path = pandas.DataFrame(ROWS), tmp_path / f"table.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    content, packed = path.read_bytes(), tmp_path / f"table.{kind}.{compression}"
    if compression == "gz":
        packed.write_bytes(gzip.compress(content))
    elif compression == "zst":
        packed.write_bytes(zstandard.compress(content))
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(path.name, content)
    path.unlink()
    assert read("data=table", "data.path='table.*'", "data.text_column=abstract") == [row["abstract"] for row in ROWS]


def test_cells_of_parquet_that_python_cannot_read_are_named_with_their_row(tmp_path: Path) -> None:
    offsets, data = (pyarrow.py_buffer(part) for part in (struct.pack("<3i", 0, 2, 4), b"ab\xb9c"))
    written = pyarrow.Array.from_buffers(pyarrow.string(), 2, [None, offsets, data])
    days = pyarrow.array([0, 2**40], pyarrow.int64()).cast(pyarrow.timestamp("s"))
    parquet.write_table(pyarrow.table({"abstract": ["a", "b"], "text": written, "day": days}), tmp_path / "t.parquet")
    for name, reason, overrides in (
        ("text", "text that is not UTF-8", []),
        ("day", ".*out of range", ["data.text_column=abstract", "data.split_by=day"]),
    ):
        message = rf"t\.parquet: row 2: the column {name} cannot be read \({reason}\); correct it"
        with pytest.raises(DataError, match=message):
            read("data=table", "data.path=t.parquet", *overrides)


@pytest.mark.parametrize("name", ["table.csv.gz", "table.csv.zip", "table.parquet.zst"])
def test_a_damaged_archive_is_reported(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no archive at all")
    with pytest.raises(DataError, match=f"{name}: cannot be read") as caught:
        read("data=table", f"data.path={name}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_recognised(separator: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(f"id{separator}title\n1{separator}a, b\n2{separator}c\n")
    assert read(*TABLE) == ["a, b", "c"]


def test_an_empty_file_among_others_is_left_out_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for suffix, content in (("txt", "text"), ("csv", "title\ntext\n")):
        (tmp_path / f"a.{suffix}").write_text("")
        (tmp_path / f"b.{suffix}").write_text(content)
    assert read("data=text_files", "data.path='*.txt'") == ["text"]
    assert read("data=table", "data.path='*.csv'", "data.text_column=title") == ["text"]
    assert caplog.text.count("the file is empty; left out") == 2


def test_a_table_without_texts_among_others_is_left_out_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for year in (2001, 2002, 2003):
        (tmp_path / f"{year}.csv").write_text(f"title,year\na text of {year},{year}\n")
    (tmp_path / "header.csv").write_text("title,year\n")
    given = ("data=table", "data.path='*.csv'", "data.text_column=title")
    assert read(*given) == ["a text of 2001", "a text of 2002", "a text of 2003"]
    assert "header.csv: the table has no rows; left out" in caplog.text
    caplog.clear()
    assert read(*given, "data.filters={year:2002}") == ["a text of 2002"]
    assert "2001.csv: no row passes data.filters (year=2002); left out, and 2 other tables" in caplog.text
    with pytest.raises(DataError, match=r"2001\.csv: no row passes data\.filters \(year=1999\); year holds '2001'$"):
        read(*given, "data.filters={year:1999}")


def test_a_template_joins_columns(table: Path) -> None:
    texts = read(*TABLE, "data.template='{title}. {abstract}'")
    assert texts == [f"{row['title']}. {row['abstract']}" for row in ROWS]
    assert read(*TABLE, "data.template='{{{title}}}'")[0] == "{Title 0}"


@pytest.mark.parametrize(
    ("filters", "years"),
    [
        ("{lang:de}", [0, 3, 6, 9]),
        ("{year:2004}", [4]),
        ("{year:[2001,2002],lang:en}", [1, 2]),
        ("{year:{min:2003,max:2005}}", [3, 4, 5]),
        ("{year:{min:2008.5}}", [9]),
        ("{title:{max:'Title 1'}}", [0, 1]),
    ],
)
def test_filters_keep_the_rows_they_name(filters: str, years: list[int], table: Path) -> None:
    assert read(*TABLE, f"data.filters={filters}") == [f"Title {year}" for year in years]


def test_rows_are_split_by_a_date_or_number(tmp_path: Path) -> None:
    dates = [f"20{i:02}-01-01" for i in (7, 3, 9, 1, 5, 2, 8, 6, 4, 8)]
    (tmp_path / "table.csv").write_text(
        "title,date\n" + "".join(f"{d[:4]} number {i},{d}\n" for i, d in enumerate(dates))
    )
    found = parts(*TABLE, "data.split_by=date", "data.validation_fraction=0.2")
    years = {name: sorted(text[:4] for text in texts) for name, texts in found.items()}
    assert years == {"train": [f"200{i}" for i in range(1, 8)], "val": ["2008", "2008"], "test": ["2009"]}
    found = parts(*TABLE, "data.split_by=date", "data.validation_fraction=0.1", "data.test_fraction=0")
    assert {name: len(texts) for name, texts in found.items()} == {"train": 9, "val": 1}


def test_rows_are_split_by_the_name_of_a_split_in_a_column(tmp_path: Path) -> None:
    names = ["train", "test", "Validation", "train", "dev", "train"]
    (tmp_path / "table.csv").write_text("title,part\n" + "".join(f"row {i},{name}\n" for i, name in enumerate(names)))
    assert parts(*TABLE, "data.split_by=part") == {
        "train": ["row 0", "row 3", "row 5"],
        "val": ["row 2", "row 4"],
        "test": ["row 1"],
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.split_by=nothing"],
            "there is no column nothing; its columns are title, abstract, year, lang; set data.split",
        ),
        (["data.split_by=abstract"], "is not a date (YYYY-MM-DD) or a number; name another column"),
        (["data.filters={colour:red}"], "there is no column colour"),
        (["data.filters={lang:fr}"], "no row passes data.filters (lang=fr); lang holds 'de', 'en'"),
        (["data.filters={year:{min:3000}}"], "no row passes data.filters (year={min: 3000}); year holds"),
        (
            ["data.template='{title} {body}'"],
            "there is no column body; its columns are title, abstract, year, lang; set data.template",
        ),
        (
            ["data.template='{body}'"],
            "there is no column body; its columns are title, abstract, year, lang; set data.temp",
        ),
    ],
)
def test_columns_that_do_not_serve_are_reported(overrides: list[str], message: str, table: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_corpus(data(*TABLE, *overrides))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=table", "data.path=x.csv", "data.template=title"], "template=title: needs columns in braces"),
        (["data=table", "data.path=x.csv", "data.template='{0.x}{'"], "data.template={0.x}{: "),
        (
            ["data=table", "data.path=x.csv", "data.split_by=y", "data.near_duplicates=0.8"],
            "split_by is a split of its own",
        ),
        (
            ["data=text_files", "data.path=x", "data.protocol=nanogpt", "data.test_path=y"],
            "protocol=nanogpt cuts one file",
        ),
    ],
)
def test_settings_that_contradict_are_reported(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        data(*overrides)
    assert message in str(caught.value)


def test_given_splits_are_used_as_they_are(tmp_path: Path) -> None:
    for name, text in {"train": "one\n\ntwo\n\ntwo", "valid": "two\n\nthree", "test": "four"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    given = ["data=text_files", "data.path=train.txt", "data.documents=blank_line", "data.validation_path=valid.txt"]
    assert parts(*given) == {"train": ["one", "two", "two"], "val": ["two", "three"]}
    assert parts(*given, "data.test_path=test.txt")["test"] == ["four"]
    only_test = [part for part in given if "validation" not in part] + ["data.test_path=test.txt"]
    found = parts(*only_test, "data.validation_fraction=0.3")
    assert found["test"] == ["four"]
    assert sorted(found["train"] + found["val"]) == ["one", "two", "two"]


def test_a_run_on_given_splits_has_exactly_these(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        (tmp_path / f"{name}.txt").write_text(f"the {name} text " * 20)
    run = train_run(
        tmp_path / "run", "data=text_files", "data.path=train.txt", "data.validation_path=valid.txt", "trainer=debug",
        "trainer.batch_size=4",
    )  # fmt: skip
    assert "val/loss" in run.results()
    assert "test/loss" not in run.results()


def test_wikitext_2_is_taken_as_published(real_data: Path) -> None:
    folder = real_data / "wikitext-2"
    corpus = load_corpus(
        data(
            "data=text_files",
            f"data.path={folder}/train.txt",
            f"data.validation_path={folder}/valid.txt",
            f"data.test_path={folder}/test.txt",
        )
    )
    assert corpus.facts.contiguous  # no <eos> but those at the ends of lines
    published = {"train": (2_088_628, "train"), "val": (217_646, "valid"), "test": (245_569, "test")}
    for name, (tokens, file) in published.items():
        text = "".join(corpus.splits[name].texts())
        assert text == (folder / f"{file}.txt").read_text("utf-8")
        assert sum(len(line.split()) + 1 for line in text.splitlines()) == tokens


@pytest.mark.parametrize(
    ("protocol", "lengths"),
    [
        ("nanogpt", {"train": 1_003_854, "val": 111_540}),
        ("char_rnn", {"train": 50 * 21_150, "val": 50 * 1_150}),
        ("torch_rnn", {"train": 892_316, "val": 111_539, "test": 111_539}),
    ],
)
def test_the_well_known_splits_of_tiny_shakespeare(protocol: str, lengths: dict[str, int], real_data: Path) -> None:
    path = real_data / "tinyshakespeare/input.txt"
    found = {
        name: "".join(texts)
        for name, texts in parts("data=text_files", f"data.path={path}", f"data.protocol={protocol}").items()
    }
    text = path.read_text()
    assert {name: len(part) for name, part in found.items()} == lengths
    if protocol == "char_rnn":
        rows = [text[i * 22_300 : (i + 1) * 22_300] for i in range(50)]
        assert found == {"train": "".join(r[:21_150] for r in rows), "val": "".join(r[21_150:] for r in rows)}
    else:
        assert "".join(found.values()) == text


def test_a_protocol_of_one_file_refuses_two(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"text {name}")
    with pytest.raises(DataError, match=r"data\.protocol=nanogpt cuts one file, and there are 2"):
        load_corpus(data("data=text_files", "data.path='*.txt'", "data.protocol=nanogpt"))


CARD = """---
configs:
- config_name: abstract
  data_files:
  - split: train
    path: abstract/train-*.parquet
  - split: validation
    path: abstract/validation-*.parquet
---
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import pandas

    folder = tmp_path / "patents"
    (folder / "abstract").mkdir(parents=True)
    texts = [f"patent number {i} claims a network" for i in range(12)]
    pandas.DataFrame({"text": texts, "label": range(12)}).to_parquet(folder / "abstract/train-0.parquet")
    pandas.DataFrame({"text": ["another"], "label": [0]}).to_parquet(folder / "abstract/validation-0.parquet")
    (folder / "README.md").write_text(CARD)
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub_cache")
    return folder


HUB = ["data=hub", "data.path=patents", "data.name=abstract"]


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_a_folder_in_the_hubs_layout_is_read(streaming: str, hub: Path) -> None:
    overrides = [*HUB, f"data.streaming={streaming}"]
    assert read(*overrides) == [f"patent number {i} claims a network" for i in range(12)]
    assert read(*overrides, "data.filters={label:[3,4]}") == [f"patent number {i} claims a network" for i in (3, 4)]
    found = parts(*overrides, "data.validation_split=validation")
    assert {name: len(texts) for name, texts in found.items()} == {"train": 12, "val": 1}


def test_the_revision_is_pinned_in_the_provenance(hub: Path, tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", *HUB, "trainer=debug", "trainer.batch_size=4")
    pinned = read_json(run.provenance_file)["data_revision"]
    (hub / "abstract/train-0.parquet").rename(hub / "abstract/train-1.parquet")
    again = train_run(tmp_path / "again", *HUB, "trainer=debug", "trainer.batch_size=4")
    assert len(pinned) == 64
    assert read_json(again.provenance_file)["data_revision"] != pinned


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.name=nothing"], "data.path=patents data.name=nothing: BuilderConfig 'nothing' not found"),
        (["data.split=nothing"], "['train', 'validation']; set data.split"),
        (["data.text_column=body"], "there is no column body; its columns are text, label; set data.text_column"),
        (["data.text_column=label"], "the column label holds int, not text"),
        (["data.path=script"], "is a loading script, which datasets no longer runs; try data.revision=refs/convert"),
        (["data.path=nowhere/nothing"], "nowhere/nothing data.name=abstract: neither reachable nor in the cache"),
    ],
)
def test_what_the_hub_cannot_give_is_reported_in_one_line(
    overrides: list[str], message: str, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "script").mkdir()
    (tmp_path / "script/script.py").write_text("import datasets\n")
    with pytest.raises(DataError) as caught:
        load_corpus(data(*HUB, *overrides))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_template_is_typed_as_it_is(command: Callable[..., Answer], table: Path) -> None:
    answer = command("prepare", *TABLE, "data.template={title}. {abstract}")
    assert answer.status == 0, answer.err
    report = json.loads(Path(answer.out.split("written to ")[1].strip()).read_text())
    assert report["parts"]["train"]["characters"] == 8 * len("Title 0. " + ROWS[0]["abstract"])


KINDS = ("patents", "table", "hub", "text_files")


def documented() -> list[list[str]]:
    page = (Path(__file__).parents[2] / "docs/data.md").read_text("utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("python scripts/")]


@pytest.mark.parametrize("arguments", documented(), ids=lambda arguments: arguments[-1])
def test_every_documented_command_is_a_config(arguments: list[str]) -> None:
    assert compose_train(*arguments).data.kind in KINDS


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_reported_in_one_line(tmp_path: Path) -> None:
    """The Hub's library tries for half a minute, and says nothing of it."""
    command = [sys.executable, "-m", "textloom", "prepare", "data=hub", "data.path=no/body", "data.text_column=text"]
    nobody = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=nobody, capture_output=True, text=True)
    asking, told = done.stderr.splitlines()
    assert asking == "asking the Hub for no/body"
    assert told.startswith("data.path=no/body: neither reachable nor in the cache")
    assert done.returncode == 2
