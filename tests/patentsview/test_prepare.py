"""The commands prepare and train with the portal; the key is in none of their files and messages."""

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from fake_portal import KEY, FakePortal, served, tables

from conftest import TINY, Answer
from textloom.config.patents import PatentSelection
from textloom.config.paths import cache_directory

Command = Callable[..., Answer]
ASKED = ["data=patents", "data.source=odp", "data.query=neural network*"]
PAGE = (Path(__file__).parents[2] / "docs/patentsview.md").read_text(encoding="utf-8")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePortal]:
    shutil.rmtree(cache_directory() / "patentsview", ignore_errors=True)
    with served(FakePortal(tables())) as fake:
        monkeypatch.setenv("USPTO_API_KEY", KEY)
        monkeypatch.setenv("USPTO_BULK_DATA_BASE_URL", fake.url)
        yield fake
    shutil.rmtree(cache_directory() / "patentsview", ignore_errors=True)


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_prepare_fetches_and_train_uses_it_and_the_key_is_nowhere(
    command: Command, fake: FakePortal, tmp_path: Path
) -> None:
    prepare, train = (shlex.split(line)[1:] for line in PAGE.splitlines() if line.startswith("python scripts/"))
    assert [prepare[0], train[0]] == ["scripts/prepare.py", "scripts/train.py"]
    prepared = command("prepare", *prepare[1:])
    assert prepared.status == 0, prepared.err
    (path,) = (cache_directory() / "patentsview/selections").glob("neural_network-*.parquet")
    assert f"patents: 28 in {path}" in prepared.out
    assert "licence: CC BY 4.0" in prepared.out
    assert "attribution: Patent abstracts: PatentsView (www.patentsview.org" in prepared.out
    assert parquet.read_table(path).num_rows == 28
    told = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert told["selection"] == {"query": "neural network*"}
    assert [table["file"] for table in told["tables"]] == ["g_patent.tsv.zip", "g_patent_abstract.tsv.zip"]
    assert told["rows"] == 28
    assert {name for name in path.parent.parent.joinpath("PVGPATDIS").iterdir() if "cpc" in name.name} == set()

    trained = command("train", *train[1:], *TINY, "hydra.run.dir=run", "data.test_fraction=0")
    assert trained.status == 0, trained.err
    assert (tmp_path / "run/results.json").exists()
    for everything in (
        written(tmp_path),
        written(cache_directory()),
        *(a.out.encode() + a.err.encode() for a in (prepared, trained)),
    ):
        assert KEY.encode() not in everything
        assert b"Signature=" not in everything
    assert b"neural network*" in written(tmp_path / "run")


def test_what_is_here_is_not_fetched_again(command: Command, fake: FakePortal) -> None:
    first = command("prepare", *ASKED)
    again = command("prepare", *ASKED)
    assert first.status == again.status == 0
    assert first.out == again.out
    assert "here already" in again.err
    assert fake.file_requests() == 2
    assert command("prepare", *ASKED, "data.cpc=G06N3").status == 0
    assert fake.file_requests() == 3  # the table of classes alone
    fake.release, fake.files = "2026-10-15 00:00:00", tables(80)
    assert "patents: 56 in" in command("prepare", *ASKED).out
    assert fake.file_requests() == 5


def test_where_the_portal_gives_nothing_the_tables_that_are_here_serve(
    command: Command, fake: FakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("prepare", *ASKED).status == 0
    monkeypatch.delenv("USPTO_API_KEY")
    other = command("prepare", "data=patents", "data.source=odp", "data.query=door", "data.last_year=2009")
    assert other.status == 0, other.err
    assert "USPTO_API_KEY is not set" in other.err
    assert "using the local copy, released 2026-07-15" in other.err
    assert "patents: 8 in" in other.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", *ASKED],
            "fetch them first: textloom prepare data=patents data.source=odp 'data.query=neural",
        ),
        (["train", *ASKED, "data.cpc=[G06N3,H04]"], "'data.cpc=[G06N3,H04]'"),
        (
            ["prepare", *ASKED],
            "USPTO_API_KEY is not set: the Open Data Portal needs a key, free at data.uspto.gov/myodp",
        ),
        (
            ["prepare", "data=patents", "data.source=odp", "data.regex=("],
            "data.regex=(: not a regular expression of RE2",
        ),
        (["prepare", "data=patents", "data.source=patentsearch"], "search API ended on 2026-03-20"),
        (["train", "data=patents", "data.source=patentsearch"], "use data.source=odp, the same patents as tables"),
        (["prepare", "data=patents", "data.query=x", "data.path=y"], "data.query selects from the portal's tables"),
        (["prepare", *ASKED, "data.regex=x"], "data.query and data.regex both select patents by their text"),
        (["prepare", *ASKED, "data.path=x"], "data.path names a file, and data.source=odp fetches one"),
        (["prepare", *ASKED, "data.cpc=G6"], "data.cpc=G6: not a CPC code; give one such as"),
        (["prepare", *ASKED, "data.first_year=2010", "data.last_year=2000"], "first_year=2010 is after last_year=2000"),
        (["prepare", "data=patents", "data.source=odp", "data.query=*"], "data.query=*: holds no word"),
    ],
)
def test_a_mistake_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.delenv("USPTO_API_KEY", raising=False)
    answer = command(*arguments)
    assert answer.status == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1, answer.err


def test_a_refusal_of_the_portal_is_one_line_without_the_key(command: Command, fake: FakePortal) -> None:
    fake.answers.append((403, {}, KEY.encode()))
    answer = command("prepare", *ASKED)
    assert answer.status == 2
    assert "the portal refuses the key for product PVGPATDIS (403)" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert KEY not in answer.err + answer.out


def test_a_stack_trace_that_was_asked_for_does_not_show_the_key(
    fake: FakePortal, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from textloom.cli import commands as cli

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    fake.answers.append((403, {}, KEY.encode()))
    with pytest.raises(Exception, match="the portal refuses the key") as caught:
        cli.main(["prepare", *ASKED, "hydra.verbose=true"])
    out, err = capfd.readouterr()
    assert KEY not in out + err + str(caught.getrepr(style="long", showlocals=False))


def test_a_query_is_taken_as_it_is_typed(command: Command, fake: FakePortal) -> None:
    expression = r"(neural|deep), {x}|\bnumber \d+, learns"
    answer = command("prepare", "data=patents", "data.source=odp", f"data.regex={expression}")
    assert answer.status == 0, answer.err
    assert "patents: 20 in" in answer.out


def test_the_page_names_every_key_and_no_other() -> None:
    told = re.findall(r"`data\.(\w+)`", PAGE.partition("## Selecting patents")[2].partition("A patent must")[0])
    assert sorted(told) == sorted(set(PatentSelection.model_fields) - {"source", "path"})
