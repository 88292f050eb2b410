"""A command does its work even if standard output fails, and writes the text to a terminal of any encoding."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import TINY, Answer
from textloom.runs.run import Run
from textloom.system.streams import tolerant_streams

Command = Callable[..., Answer]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def opened(descriptor: int, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(os.fdopen(descriptor, "wb", closefd=False), encoding)


@pytest.mark.parametrize(
    ("encoding", "arrives"),
    [
        ("utf-8", "über ☃ \\udce9\n".encode()),
        ("latin-1", b"\xfcber \\u2603 \\udce9\n"),
        ("ascii", b"\\xfcber \\u2603 \\udce9\n"),
    ],
)
def test_what_an_encoding_lacks_is_escaped(
    pipe: tuple[int, int], encoding: str, arrives: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = opened(pipe[1], encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    with tolerant_streams():
        print("über ☃ \udce9")
    assert sys.stdout is stdout
    assert os.read(pipe[0], 100) == arrives


def test_nothing_is_said_of_a_closed_pipe(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", opened(pipe[1], "utf-8"))
    os.close(pipe[0])
    with tolerant_streams():
        for _ in range(5):
            print("text " * 10_000)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_reported_once_and_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended, tolerant_streams():
            print("text " * 10_000, flush=True)
        assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "standard output: No space left on device; the printed text is not complete\n"


def test_a_training_whose_output_nobody_reads_is_completed(
    command: Command, tmp_path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(pipe[0])
    for name in ("stdout", "stderr"):  # as in: train 2>&1 | head
        monkeypatch.setattr(sys, name, opened(pipe[1], "ascii"))
    (tmp_path / "a.txt").write_text("über größe, straße und öl. " * 30)
    answer = command("train", *TINY, "data=text_files", "data.path=a.txt", "hydra.run.dir=outputs/one")
    assert answer.status == 0
    assert Run(tmp_path / "outputs/one").status()["status"] == "completed"
    assert "über" in (tmp_path / "outputs/one/samples.txt").read_text("utf-8")


def test_descriptors_that_are_closed_do_not_become_those_of_other_files(toy_run: Run, tmp_path: Path) -> None:
    commands = [
        f"generate run={toy_run.directory} length=3 >&-",
        f"generate run={toy_run.directory} length=3 >&- 2>&- <&-",
        f"compare runs={toy_run.directory} format=csv | head -1",
    ]
    line = "; ".join(f"{sys.executable} -m textloom {command} || echo failed" for command in commands)
    sources = {"PYTHONPATH": os.pathsep.join(sys.path)}
    before = {path: path.stat().st_mtime_ns for path in toy_run.directory.rglob("*")}
    done = subprocess.run(line, shell=True, capture_output=True, text=True, env={**os.environ, **sources}, check=True)
    assert "failed" not in done.stdout
    assert done.stdout.startswith("group,")
    assert "Traceback" not in done.stderr
    assert "Errno" not in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}
