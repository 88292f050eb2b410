"""Sources: every documented kind of file is read, and an unreadable file is reported in one line."""

from pathlib import Path

import pytest

from conftest import compose_train, read_documents
from textloom.data.sources.toy import toy_text
from textloom.errors import DataError

ABSTRACTS = ['A "neural" network,\nwith two layers.', "NA", "007", ""]


def read(*overrides: str) -> list[str]:
    return read_documents(compose_train(*overrides).data)


def test_the_toy_text_speaks_of_deep_learning() -> None:
    assert "deep learning" in toy_text()
    assert read() == [toy_text()]


def test_text_files_are_one_document_each_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"book {name}\n\nchapter two")
    assert read("data=text_files", "data.path='*.txt'") == ["book a\n\nchapter two", "book b\n\nchapter two"]
    assert read("data=text_files", "data.path=[b.txt,a.txt,'*.txt']") == read("data=text_files", "data.path='*.txt'")


def test_blank_lines_can_separate_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf\n\none\r\nmore\r\n \r\n\n  two\n\n\n")
    assert read("data=text_files", "data.path=a.txt", "data.documents=blank_line") == ["one\nmore", "two"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_every_format_hold_the_same_texts_as_text(tmp_path: Path, suffix: str) -> None:
    import pandas

    frame = pandas.DataFrame({"patent_id": [1, 2, 3, 4], "patent_abstract": ABSTRACTS})
    path = tmp_path / f"table.{suffix}"
    write = {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t", quoting=2),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
    }
    write[suffix]()
    expected = [text for text in ABSTRACTS if text]
    assert read("data=patents", f"data.path=table.{suffix}") == expected
    assert read("data=table", f"data.path=table.{suffix}", "data.text_column=patent_abstract") == expected


def test_the_articles_file_has_3522_abstracts(real_data: Path) -> None:
    documents = read("data=patents", f"data.path={real_data}/patents/neural_network_patent_query.csv")
    assert len(documents) == 3522
    assert sum(map(len, documents)) == 3_027_763


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "empty.txt: the file is empty"),
        ("blank.txt", b" \n\n", "blank.txt: the file is empty"),
        ("binary.txt", b"\x7fELF\0\0\1", "binary.txt: a binary file, not text"),
        (
            "latin.txt",
            "schön".encode("latin-1"),
            "latin.txt: not UTF-8 at byte 3 (line 1); probably CP1252 ('schön'); convert it",
        ),
        ("empty.csv", b"", "empty.csv: the file is empty"),
        ("header.csv", b"patent_abstract,x\n", "header.csv: the table has no rows"),
        (
            "column.csv",
            b"title,body\na,b\n",
            "no column patent_abstract; its columns are title, body; set data=table and data.text_column",
        ),
        ("hollow.csv", b"patent_abstract,x\n,1\n  ,2\n", "the column patent_abstract is empty"),
        ("latin.csv", "patent_abstract,x\nschön,1\n".encode("latin-1"), "latin.csv: not UTF-8 at byte 21 (line 2)"),
        ("binary.csv", b"a,b\n\0\1\2\3", "binary.csv: a binary file"),
        ("ragged.csv", b"patent_abstract,x\na,b\na,b,c,d\n", "ragged.csv: cannot be read as csv: line 3 has 4 cells"),
        (
            "broken.jsonl",
            b'{"patent_abstract": "a"}\n{"patent_abs',
            "broken.jsonl: cannot be read as jsonl: line 2 is broken",
        ),
        (
            "number.jsonl",
            b'{"patent_abstract": 3}\n',
            "line 1: the column patent_abstract holds int, not text; write it as text, or name",
        ),
        ("broken.parquet", b"PAR1 no table", "broken.parquet: cannot be read as parquet"),
        ("table.xls", b"a", "table.xls: no known kind of table; its name must end in .csv"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_cure(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read("data=text_files" if name.endswith("txt") else "data=patents", f"data.path={name}")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_paths_that_name_nothing_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.path=no\*\.txt: names no file"):
        read("data=text_files", "data.path='no*.txt'")
    with pytest.raises(DataError, match="is a folder; give a file or a glob"):
        read("data=text_files", "data.path=.")


def test_a_file_without_read_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.txt").write_text("text")

    def refuse(path: Path, *arguments: object) -> bytes:  # the superuser, who runs many a CI, may read everything
        raise PermissionError(13, "Permission denied")

    config = compose_train("data=text_files", "data.path=secret.txt").data
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"secret\.txt: cannot be read \(Permission denied\)"):
        read_documents(config)
