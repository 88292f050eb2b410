"""Files: found once, read exactly as found; pipes, lines, links and odd names."""

import io
import os
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Answer, compose_train, documents_of, read_documents, train_run
from textloom.data.reading import files
from textloom.data.reading.files import find_files
from textloom.errors import DataError, TextloomError


@pytest.fixture(autouse=True)
def _nothing_piped_yet() -> Iterator[None]:
    files.kept_pipe.cache_clear()
    yield
    files.kept_pipe.cache_clear()


def read(*overrides: str) -> list[str]:
    return read_documents(compose_train(*overrides).data)


def names(*patterns: str) -> list[str]:
    return [str(path) for path in find_files(patterns)]


def test_a_tree_with_loops_links_and_other_things_yields_each_file_once(tmp_path: Path) -> None:
    for name in ("a/one.txt", "a/b/two.txt", ".hidden/three.txt", "a/.four.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.txt").mkdir()
    os.symlink("nowhere", "gone.txt")
    for loop in ("again", "a/again", "a/b/up"):
        os.symlink(tmp_path, loop)
    os.symlink("a/one.txt", "link.txt")
    os.link("a/b/two.txt", "a/hard.txt")
    found = [Path(name).resolve().stat().st_ino for name in names("**/*.txt")]
    assert sorted(found) == sorted(Path(name).stat().st_ino for name in ("a/one.txt", "a/b/two.txt"))
    assert len(names("**/*.txt", "a/*.txt", "a/one.txt", "link.txt")) == 2
    assert names("a/**") == names("a/**/*") == ["a/b/two.txt", "a/one.txt"]
    assert names(".hidden/*.txt") == [".hidden/three.txt"]


@pytest.mark.parametrize(
    "name",
    ["my data [v2]/table [final].csv", "a#b.csv", "a?b.csv", "a%20b.csv", "a::b.csv", "a,b.csv", "a*b.csv",
     "x=1/{a}.csv", "größe/红楼.csv", "~x.csv", "REPORT.CSV", "it's.csv", " a.csv"],
)  # fmt: skip
def test_a_path_that_exists_is_read_exactly(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text\nthe right one\n")
    (tmp_path / "aXb.csv").write_text("text\nanother\n")
    (tmp_path / "table f.csv").write_text("text\nanother\n")
    config = compose_train("data=table", "data.path=x").data
    assert read_documents(config.model_copy(update={"path": (str(path),)})) == ["the right one"]


def test_a_name_is_found_however_its_accents_are_encoded(tmp_path: Path) -> None:
    for on_disk, typed in (("NFD", "NFC"), ("NFC", "NFD")):
        name = unicodedata.normalize(on_disk, f"größe {on_disk}")
        (tmp_path / name).mkdir()
        (tmp_path / name / "naïve.txt").write_text("text")
        (tmp_path / name / "naïve.txt").rename(tmp_path / name / unicodedata.normalize(on_disk, "naïve.txt"))
        for pattern in (f"größe {on_disk}/naïve.txt", f"größe {on_disk}/na?ve.txt", f"gr*e {on_disk}/*ïve.*"):
            assert len(names(unicodedata.normalize(typed, pattern))) == 1, pattern


def test_a_folder_with_brackets_may_have_a_glob_after_it(tmp_path: Path) -> None:
    (tmp_path / "data [v2]").mkdir()
    (tmp_path / "data [v2]/a.csv").write_text("text\none\n")
    assert names("data [v2]/*.csv") == names("data [[]v2]/*.csv") == ["data [v2]/a.csv"]


def test_paths_that_name_no_file_are_reported_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "parts" / "year=2020").mkdir(parents=True)
    (tmp_path / "parts" / "year=2020" / "1.parquet").write_bytes(b"")
    os.symlink("nowhere", "gone.txt")
    for pattern, message in {
        "bok.txt": "names no file, did you mean book.txt?",
        "BOOK.TXT": "did you mean book.txt?",
        "*.TXT": "small and capital letters differ: book.txt is there",
        ".": r"is a folder; give a file or a glob such as '\*.txt'",
        "folder": r"is a folder; give a file or a glob such as 'folder/\*.txt'",
        "parts": r"is a folder; give a file or a glob such as 'parts/\*\*/\*.parquet'",
        "gone.txt": "a link to nowhere, which does not exist",
        "~nosuchuser/x.txt": "there is no home directory ~nosuchuser",
        "/dev/null": "is a device, not a file",
        "x" * 300: "cannot be looked up",
        "folder/*.txt": "names no file",
        "a.txt,b.txt": r"names no file; several are a list, \[a.txt,b.txt\]",
    }.items():
        with pytest.raises(TextloomError, match=message) as caught:
            find_files((pattern,))
        assert len(str(caught.value).splitlines()) == 1
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/book.txt") == [str(tmp_path / "book.txt")]


def test_a_table_that_is_read_as_text_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.CSV").write_text("text\none\n")
    assert read_documents(compose_train("data=text_files", "data.path=a.CSV").data) == ["text\none\n"]
    assert caplog.messages == ["a.CSV: a table, read as plain text; data=table reads the texts of its rows"]


def pipe(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input as a shell pipes it."""
    reader, writer = os.pipe()
    threading.Thread(target=lambda: (os.write(writer, text), os.close(writer))).start()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(reader, "rb")))


def test_text_can_be_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    for content in (b"some text\r\n", gzip.compress(b"some text\n")):
        files.kept_pipe.cache_clear()
        pipe(content, monkeypatch)
        assert read("data=text_files", "data.path=-") == ["some text\n"]
        assert read("data=text_files", "data.path=-") == ["some text\n"]  # a pipe can be read only once


def test_a_named_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    os.mkfifo("pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_text("through a pipe")).start()
    assert read("data=text_files", "data.path=pipe") == ["through a pipe"]


def test_a_run_on_piped_text_is_complete_without_the_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.training.train import train

    pipe(b"some text of many words\n" * 20, monkeypatch)
    run = train_run(tmp_path / "run", "data=text_files", "data.path=-", "trainer.batch_size=4")
    files.kept_pipe.cache_clear()
    monkeypatch.setattr(sys, "stdin", None)
    before = run.results()["val/loss"]
    from textloom.config import TrainConfig
    from textloom.config.checking import check
    from textloom.evaluation.evaluate import evaluate_run

    assert evaluate_run(run)["val/loss"] == before
    values = run.config().model_dump(mode="json")
    values["trainer"]["max_epochs"] = 2
    steps = run.results()["steps"]
    train(check({**values, "resume": str(run.directory)}, TrainConfig), run, [])
    assert run.results()["steps"] == 2 * steps


@pytest.mark.parametrize("content", [b"", None])
def test_no_text_through_the_pipe_is_reported(content: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if content is None:
        monkeypatch.setattr(sys, "stdin", None)
    else:
        pipe(content, monkeypatch)
    with pytest.raises(DataError, match=r"data\.path=-: (no text came|nothing is piped)"):
        read("data=text_files", "data.path=-")


def test_a_sweep_and_a_table_refuse_standard_input(
    command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = command("train", "-m", "data=text_files", "data.path=-", "model.units=8,16")
    assert answer.status == 2
    assert "data.path=-: a sweep reads its text more than once; save it as a file" in answer.err
    pipe(b"text\none\n", monkeypatch)
    with pytest.raises(DataError, match="standard input: has no name that says what kind of table it is"):
        read("data=table", "data.path=-")


def test_each_line_can_be_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.data.sources import text_files

    lines = [f"name {i}" for i in range(50)] + ["a line of " + "many words " * 20]
    (tmp_path / "names.txt").write_bytes(("\n\n  " + "  \r\n \r\n".join(lines) + "\n").encode())
    expected = [line.strip() for line in lines]
    for block in (text_files.BLOCK, 7):
        monkeypatch.setattr(text_files, "BLOCK", block)
        assert read("data=text_files", "data.path=names.txt", "data.documents=line") == expected


def test_the_splits_of_sorted_lines_hold_names_from_everywhere(tmp_path: Path) -> None:
    from textloom.data.cache import load_corpus

    (tmp_path / "names.txt").write_text("".join(f"{chr(97 + i // 20)}name{i % 20}\n" for i in range(520)))
    corpus = load_corpus(compose_train("data=text_files", "data.path=names.txt", "data.documents=line").data)
    assert corpus.facts.documents == 520
    assert len({text[0] for text in documents_of(corpus.splits["val"].pieces())}) >= 10


def test_many_lines_are_read_in_linear_time(tmp_path: Path) -> None:
    import time

    (tmp_path / "lines.txt").write_text("ab\n" * 300_000)
    begin = time.process_time()
    assert len(read("data=text_files", "data.path=lines.txt", "data.documents=line")) == 300_000
    assert time.process_time() - begin < 10


def test_empty_files_are_reported_on_a_cached_second_call_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from textloom.data.cache import load_corpus

    for i in range(6):
        (tmp_path / f"{i}.txt").write_text(f"text number {i}" if i > 1 else " \n")
    data = compose_train("data=text_files", "data.path='*.txt'").data
    for _ in range(2):
        caplog.clear()
        load_corpus(data)
        assert caplog.messages == ["0.txt and 1 other file: empty; left out"]


def test_names_that_are_not_utf_8_are_read_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from textloom.data.cache import load_corpus

    for name in (b"\xe9.txt", b"b.txt", b"c.txt", b"d.txt"):
        (tmp_path / os.fsdecode(name)).write_text("" if name == b"\xe9.txt" else f"text of {name!r}")
    data = compose_train("data=text_files", "data.path='*.txt'").data
    for _ in range(2):  # read, and found in the cache
        caplog.clear()
        assert load_corpus(data).facts.documents == 3
        assert caplog.messages == ["\udce9.txt: the file is empty; left out"]
