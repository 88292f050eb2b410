"""Tables as pandas, Excel, databases and Macs write them: each row is read whole, or reported with its line."""

import functools
import json
from pathlib import Path

import pytest

from conftest import compose_train, read_documents
from textloom.config import DataConfig
from textloom.data.reading import contents, delimited, json_rows
from textloom.errors import DataError

TEXTS = [f"the text of row {i}" for i in range(25)]


@pytest.fixture(autouse=True, params=[False, True], ids=["whole", "in small pieces"])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a file holds, the borders of blocks and slices change nothing."""
    if request.param:
        monkeypatch.setattr(contents, "BLOCK", 7)
        monkeypatch.setattr(delimited, "ROWS", 3)
        monkeypatch.setattr(json_rows, "ROWS", 3)


def read(name: str, content: str | bytes, *overrides: str) -> list[str]:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_documents(config(*overrides).model_copy(update={"path": (name,)}))


@functools.cache
def config(*overrides: str) -> DataConfig:
    return compose_train("data=table", "data.path=?", *overrides).data


def refused(name: str, content: str | bytes, *overrides: str) -> str:
    with pytest.raises(DataError) as caught:
        read(name, content, *overrides)
    (line,) = str(caught.value).splitlines()
    return line


def rows(line: str, end: str = "\n") -> str:
    return "".join(line.format(i=i, text=text) + end for i, text in enumerate(TEXTS))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.csv", ",text,label\n" + rows("{i},{text},x")),
        ("unnamed.csv", ",text,,label\n" + rows("{i},{text},,x")),
        ("trailing.csv", "text,label,\n" + rows("{text},x,")),
        ("rows.csv", "text,label\n" + rows("{text},x,,")),
        ("sep.csv", "sep=;\r\ntext;label\r\n" + rows("{text};x", "\r\n")),
        ("bom.csv", "\ufeffsep=;\r\ntext;label\r\n" + rows("{text};x", "\r\n")),
        ("semicolon.csv", '"text";"label"\r\n' + rows('"{text}";"1,5"', "\r\n")),
        ("mac.csv", "text,label\r" + rows('"{text}",x', "\r")),
        ("blank.csv", "\n\ntext,label\n\n" + rows("{text},x\n")),
        ("other.csv", "text,twice,twice\n" + rows("{text},1,2")),
        ("utf16.csv", ("text\tlabel\r\n" + rows("{text}\tx", "\r\n")).encode("utf-16")),
        ("plain.tsv", "id\ttext\n" + rows("{i}\t{text}")),
        ("quoted.tsv", '"id"\t"text"\n' + rows('"{i}"\t"{text}"')),
        ("T.TAB", "text\tid\n" + rows("{text}\t{i}")),
        ("lines.JSONL", rows('{{"text": "{text}", "id": {i}}}')),
        ("blank.ndjson", "\n" + rows('{{"text": "{text}"}}\n') + "\n"),
        ("bom.jsonl", "\ufeff" + rows('{{"text": "{text}"}}')),
        ("crlf.jsonl", rows('{{"text": "{text}"}}', "\r\n")),
        ("array.json", json.dumps([{"text": text, "n": [1, [2]]} for text in TEXTS])),
        ("pretty.json", json.dumps([{"text": text, "n": {"a": [1]}} for text in TEXTS], indent=4)),
        ("after.json", "\n".join(json.dumps({"text": text}, indent=1) for text in TEXTS)),
    ],
)
def test_tables_hold_their_texts_whoever_wrote_them(name: str, content: str | bytes) -> None:
    assert read(name, content) == TEXTS


def test_what_pandas_writes_by_default_is_read(tmp_path: Path) -> None:
    import pandas

    frame = pandas.DataFrame({"text": ['say "yes",\nthen\r\ngo', "NA", "", None, "007"], "n": range(5)})
    frame.to_csv("t.csv")
    frame.to_csv("t.tsv", sep="\t")
    expected = ['say "yes",\nthen\ngo', "NA", "007"]
    assert read("t.csv", Path("t.csv").read_bytes()) == read("t.tsv", Path("t.tsv").read_bytes()) == expected


@pytest.mark.parametrize(
    ("opened", "closed"),
    [('"the text', "the text"), ('"the text', 'the text"'), ('"the" text', "the text"), ('"', '"')],
)
def test_quotation_marks_of_tsv_are_text_unless_all_are_closed(opened: str, closed: str) -> None:
    texts = list(TEXTS)
    texts[5], texts[15] = opened, closed
    assert read("t.tsv", "id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts))) == texts


def test_cells_of_tsv_in_quotation_marks_may_hold_line_ends() -> None:
    content = "id\ttext\n" + rows('{i}\t"{text},\n""quoted"""')
    assert read("t.tsv", content) == [f'{text},\n"quoted"' for text in TEXTS]


def test_a_name_with_blanks_around_it_is_shown_with_them() -> None:
    with pytest.raises(DataError, match=r"no column text, did you mean ' text'\?; its columns are id, ' text'; set"):
        read("t.csv", "id, text\n1,a\n")


def test_nan_in_json_is_a_missing_text() -> None:
    assert read("t.jsonl", '{"text": "one"}\n{"text": NaN}\n{"text": "two"}\n') == ["one", "two"]


def test_keys_may_appear_late_and_change_their_type() -> None:
    lines = [
        {"text": text, "id": i if i < 10 else str(i), "x": None if i < 5 else {"a": i}} for i, text in enumerate(TEXTS)
    ]
    lines[-1]["note"] = "late"
    content = "".join(json.dumps(line) + "\n" for line in lines)
    assert read("t.jsonl", content) == TEXTS
    assert read("t.jsonl", content, "data.filters={note:late}") == TEXTS[-1:]
    late = [{"id": 1}] * 7 + [{"text": text} for text in TEXTS]
    assert read("t.jsonl", "".join(json.dumps(line) + "\n" for line in late)) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("open.csv", "text,n\na,1\n\"b,2\nc,3\n", "read as csv: line 3: a quotation mark opens a cell and never"),
        ("inside.csv", 'text,n\na,1\n"he said "no"",2\n', "read as csv: line 3: text after a closing quotation mark"),
        ("many.csv", "text,n\na,1\nb, c,2\n", "cannot be read as csv: line 3 has 3 cells, and the header names 2"),
        ("one.csv", "text\nHello, world\n", "line 2 has 2 cells, and the header names 1; put quotation marks around"),
        ("one.csv", "text\nHello, world\n", "or read one text a line with data=text_files data.documents=line"),
        ("index.csv", "text,n\n1,a,2\n", "line 2 has 3 cells, and the header names 2"),
        ("twice.csv", "text,n,text\na,1,b\n", "2 columns are named text (numbers 1, 3); rename all but one"),
        ("multi.csv", 'text,n\n"a\nb",1\nc,2,3\n', "line 4 has 3 cells"),
        ("bad.jsonl", '{"text": "a"}\n\n{\'text\': "b"}\n', "cannot be read as jsonl: line 3 is broken"),
        ("cut.json", '[{"text": "a"},\n {"text": "b"', "cannot be read as json: line 2 is broken"),
        ("cut2.json", '[{"text": "a"},\n', "cannot be read as json: line 2 is broken (it ends within an array)"),
        ("list.jsonl", '["a"]\n["b"]\n', "line 1 holds 'a', not an object"),
        ("text.jsonl", '{"text": "a"}\n"b"\n', "line 2 holds 'b', not an object"),
        ("number.jsonl", '{"text": "a"}\n{"text": 1984}\n', "line 2: the column text holds int, not text"),
        ("none.jsonl", '{"a": "a"}\n{"b": "b"}\n', "there is no column text; its columns are a, b; set data"),
        ("holds.jsonl", '{"text": {"0": "a"}, "n": 1}', "line 1: the column text holds dict, not text"),
        ("columns.json", '{"text": {"0": "a"}}', "one object of lists or objects, not one object a row; write a list"),
        ("split.json", '{"columns": ["text"], "data": [["a"]]}', "one object of lists or objects, not one"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_add_up_is_reported_with_its_line(name: str, content: str, message: str) -> None:
    assert message in refused(name, content)


def test_rows_that_lack_cells_or_swallow_others_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert read("few.csv", "text,a,b\none\ntwo,1,2\nthree,1\n") == ["one", "two", "three"]
    assert "few.csv: line 2: fewer cells than the header names (2 such rows in all)" in caplog.text
    swallowing = [f"{i},{text},x" for i, text in enumerate(TEXTS)]
    swallowing[5], swallowing[15] = '5,"the text,x', '15,the text",x'
    assert len(read("swallow.csv", "id,text,n\n" + "".join(f"{line}\n" for line in swallowing))) == 15
    assert "swallow.csv: line 7: a quoted cell of several lines, each of which looks like a row" in caplog.text


def test_missing_values_of_databases_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert read("dump.tsv", "id\ttext\n1\ta\\nb\n2\t\\N\n") == ["a\\nb", "\\N"]
    assert r"dump.tsv: line 3: a cell is \N, a missing value as databases write it (1 such row in all)" in caplog.text
    caplog.clear()
    assert read("paths.tsv", "id\ttext\n1\tC:\\New\n") == ["C:\\New"]
    assert not caplog.text


def test_a_very_large_cell_is_read_whole() -> None:
    large = "word " * 100_000 + "end"
    assert read("large.csv", f'text,n\n"{large}",1\nsmall,2\n') == [large, "small"]
    assert read("large.jsonl", json.dumps({"text": large}) + "\n") == [large]
    assert read("large.json", json.dumps([{"text": large}])) == [large]
