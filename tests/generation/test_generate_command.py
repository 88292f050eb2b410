"""The command generate: prompts from files and pipes, JSON lines, streaming, and one line for each mistake."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import textloom
from conftest import Answer
from textloom.runs.run import Run

Command = Callable[..., Answer]


def lines(answer: Answer) -> list[dict[str, object]]:
    assert answer.status == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


def test_each_prompt_of_a_file_is_continued(toy_run: Run, command: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text('deep learn\n\n{"prompt": "a network\\nlearns"}\r\n', "utf-8")
    answer = command(
        "generate", f"run={toy_run.directory}", "prompts=prompts.txt", "length=5", "format=jsonl", "count=2"
    )
    found = lines(answer)
    assert [one["prompt"] for one in found] == ["deep learn"] * 2 + ["a network\nlearns"] * 2
    assert all(str(one["text"]).startswith(str(one["prompt"])) for one in found)
    assert len({one["seed"] for one in found}) == 4


def test_prompts_come_through_a_pipe(toy_run: Run, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"deep\nlearn")))
    answer = command("generate", f"run={toy_run.directory}", "prompts=-", "length=5")
    assert answer.status == 0, answer.err
    assert answer.out.startswith("--- text 1 of 2 ---\ndeep")
    assert "--- text 2 of 2 ---\nlearn" in answer.out


def test_a_line_of_json_gives_its_text_again(toy_run: Run, command: Command) -> None:
    given = ["generate", f"run={toy_run.directory}", "prompt=deep learn", "length=20", "temperature=1", "format=jsonl"]
    for row, one in enumerate(lines(command(*given, "count=3", "seed=7"))):
        assert (one["row"], one["rows"]) == (row, 3)
        assert lines(command(*given, *(f"{key}={one[key]}" for key in ("seed", "row", "rows")))) == [one]
        assert len(one["tokens"]) == len(one["logprobs"])  # type: ignore[arg-type]
        assert one["settings"]["temperature"] == 1.0  # type: ignore[index]


def test_the_signature_is_that_of_the_export(toy_run: Run, command: Command) -> None:
    assert command("export", f"run={toy_run.directory}", "to=exported").status == 0
    both = [
        lines(command("generate", f"run={run}", "prompt=deep", "length=3", "format=jsonl"))[0]["run"]
        for run in (toy_run.directory, "exported")
    ]
    assert both[0] == both[1]


def test_a_shells_escapes_stop_a_text(toy_run: Run, command: Command) -> None:
    given = ["generate", f"run={toy_run.directory}", "prompt=deep learn", "length=400", "seed=0"]
    whole = command(*given).out
    assert command(*given, r"stop=\n").out == whole.partition("\n")[0] + "\n"
    assert command(*given, "stop=[' a','e']").out.rstrip("\n") == min(
        (whole[:10] + whole[10:].partition(stop)[0] for stop in (" a", "e")), key=len
    )


def test_a_streamed_text_is_the_same(toy_run: Run, command: Command) -> None:
    given = ["generate", f"run={toy_run.directory}", "prompt=deep learn", "length=100", "seed=0"]
    assert command(*given, "stream=true").out == command(*given, "stream=false").out
    run = textloom.load(toy_run.directory)
    assert "".join(run.stream("deep learn", 100, seed=0)) == run.generate("deep learn", 100, seed=0)


def test_a_text_appears_in_a_terminal_while_it_is_drawn(toy_run: Run) -> None:
    control, terminal = pty.openpty()
    endless = [f"run={toy_run.directory}", "prompt=deep learn", "length=100000000", "temperature=0"]
    command = [sys.executable, "-m", "textloom", "generate", *endless]
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.DEVNULL) as process:
        os.close(terminal)
        seen = b""
        while len(seen) < 1000:
            seen += os.read(control, 1000)
        assert process.poll() is None
        process.kill()
    os.close(control)
    assert seen.startswith(b"deep learn")


def test_a_reader_that_goes_away_ends_the_text(toy_run: Run) -> None:
    command = f"{sys.executable} -m textloom generate run={toy_run.directory} prompt=deep stream=true length=100000000"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        f"{command} | head -c 20", shell=True, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.stdout.startswith("deep")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["stop="], "stop=: an empty text is everywhere; give at least one character"),
        (["ban=Ω"], "ban: 'Ω' is not in the vocabulary"),
        (["bias={deep: 1}"], "bias: 'deep' is 4 tokens"),
        (["prompts=missing.txt"], "prompts=missing.txt: cannot be read (No such file or directory)"),
        (["prompts=empty.txt"], "prompts=empty.txt: holds no prompt"),
        (["prompts=broken.txt"], "prompts=broken.txt: line 2: begins with a brace, and is not JSON"),
        (["prompts=other.txt"], 'prompts=other.txt: line 1: has no text "prompt"'),
        (["prompts=latin.txt"], "prompts=latin.txt: not UTF-8 at byte 2"),
        (["prompts=empty.txt", "prompt=deep"], "prompts: the prompt is given too"),
        (["stream=true", "count=2"], "stream: several texts are drawn side by side"),
        (["stream=true", "format=jsonl"], "stream: a JSON line is written when its text is complete"),
        (["min_p=2"], "min_p=2: must be less than or equal to 1"),
        (["repetition_penalty=0"], "repetition_penalty=0: must be greater than 0"),
        (["row=1"], "row=1: rows is missing; give both as in the JSON line"),
        (["row=3", "rows=3"], "row=3: the rows are 0 to 2"),
        (["rows=3", "count=2"], "rows: one text is drawn again"),
        (["rows=3", "num_beams=2"], "rows: a beam search draws nothing"),
        (["rows=3", "stream=true"], "stream: a text that is drawn again is written at its end"),
        (["rows=1025"], "rows=1025: must be less than or equal to 1024"),
        (["characters=0"], "characters=0: must be greater than 0"),
    ],
)
def test_a_mistake_is_one_line(toy_run: Run, command: Command, tmp_path: Path, typed: list[str], told: str) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "broken.txt").write_text("deep\n{deep\n")
    (tmp_path / "other.txt").write_text('{"text": "deep"}\n')
    (tmp_path / "latin.txt").write_bytes("süß".encode("latin-1") + b"\n")
    answer = command("generate", f"run={toy_run.directory}", *typed)
    assert answer.status == 2
    (line,) = [line for line in answer.err.splitlines() if not line.startswith("run: ")]
    assert told in line
