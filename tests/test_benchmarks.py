"""Every benchmark runs, and reports its measurements."""

import json
import sys
from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import generation, gpu, sweeps, training
from benchmarks.rows import Row, compared, in_turns, unmeasured
from benchmarks.table import render

ROW = Row("work", "another", 2.0, 1.0, "targets/s", 2.0, 1.5)


@pytest.mark.parametrize("name", bench.names())
def test_each_benchmark_runs_and_its_rows_are_written(name: str, tmp_path: Path) -> None:
    bench.run([name], tmp_path, quick=True)
    (machine,) = json.loads((tmp_path / "results.json").read_text())
    rows = [Row(**row) for row in machine["benchmarks"][name]["rows"]]
    assert len(rows) == len({(row.work, row.against) for row in rows}) > 0
    for row in rows:
        assert row.note if row.ratio is None else isfinite(row.ratio)  # seconds more may be less than none
    text = (tmp_path / "RESULTS.md").read_text()
    assert all(row.work in text for row in rows)
    assert "cpu copy" in text


def test_a_benchmark_measured_again_replaces_its_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ceilings", lambda quick: {"cpu copy": "1 GB/s"})
    from benchmarks import training, wikitext

    monkeypatch.setattr(training, "main", lambda quick: [ROW])
    monkeypatch.setattr(wikitext, "main", lambda quick: [replace(ROW, work="other work")])
    folder = tmp_path / "a/new folder"
    bench.run(["training", "wikitext"], folder, quick=True)
    monkeypatch.setattr(training, "main", lambda quick: [replace(ROW, ratio=1.0)])
    bench.run(["training"], folder, quick=True)
    text = (folder / "RESULTS.md").read_text()
    assert "| work | another | 2 | 1 | targets/s | 1 | >= 1.5 | **missed** |" in text
    assert "| other work | another | 2 | 1 | targets/s | 2 | >= 1.5 | reached |" in text


def test_what_no_machine_measured_is_listed() -> None:
    machine = {"processor": "one", "GPU": "none"}
    results = [
        {"machine": machine, "ceilings": {}, "benchmarks": {"training": {"commit": "c", "date": "d", "rows": rows}}}
        for rows in ([vars(ROW), vars(unmeasured("on a GPU", "x", 0.8, "no GPU here"))],)
    ]
    assert "## Not measured\n\n- on a GPU: no GPU here" in render(results)
    results.append(
        {**results[0], "benchmarks": {"b": {"commit": "c", "date": "d", "rows": [{**vars(ROW), "work": "on a GPU"}]}}}
    )
    assert "Not measured" not in render(results)


def test_the_ratio_is_the_median_over_the_turns() -> None:
    both = compared([1.0, 10.0, 3.0], [2.0, 40.0, 9.0])
    assert (both.ours, both.theirs, both.speedup) == (3.0, 9.0, 3.0)
    turns: list[str] = []
    in_turns(lambda: turns.append("ours"), lambda: turns.append("theirs"), turns=2)
    assert turns == ["ours", "theirs"] * 3


def test_a_ratio_is_reached_from_below_or_above() -> None:
    assert ROW.reached
    assert not replace(ROW, at_most=True).reached
    assert replace(ROW, must=None).reached is None


# --- a GPU alone ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU on which every measurement takes no time."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(bench, "machine", lambda: {"processor": "one", "GPU": "two"})
    monkeypatch.setattr(bench, "ceilings", lambda quick, devices: {f"{device} copy": "1 GB/s" for device in devices})

    def against(label: str, *given: object) -> list[Row]:
        return [replace(ROW, work=label), replace(ROW, work=label, against="a third")]

    monkeypatch.setattr(training, "_against_the_loop", against)
    monkeypatch.setattr(generation, "_many_texts", lambda model, device, *given: replace(ROW, work=f"on {device}"))
    monkeypatch.setattr(sweeps, "_measured", lambda *given: compared([1.0], [2.0]))


@pytest.mark.usefixtures("_stubs")
def test_a_gpu_measures_its_own_rows_the_most_telling_first() -> None:
    rows = [row.work for _, row in gpu.measured(gpu.measurements())]
    assert all("gpu" in work or "GPU" in work or "cuda" in work for work in rows)
    assert rows[0].startswith("training on gpu, LSTM 512, word (10,000)")
    assert rows.index("on cuda") < rows.index("training on gpu, LSTM 128, word (10,000), 32 x 64")
    (trials,) = [place for place, work in enumerate(rows) if "trials" in work]
    assert rows.index("on cuda") < trials < rows.index("training on gpu, LSTM 128, word (10,000), 32 x 64")
    assert len([work for work in dict.fromkeys(rows) if work.startswith("training")]) == len([*training.works(False)])


@pytest.mark.usefixtures("_stubs")
def test_no_row_is_begun_when_the_time_of_a_gpu_is_over() -> None:
    chosen, now = gpu.measurements(), [0.0]

    def slow(one: gpu.Measurement) -> gpu.Measurement:
        def measure() -> list[Row]:
            now[0] += 100
            return [*one.measure()]

        return replace(one, measure=measure)

    rows = list(gpu.measured(map(slow, chosen), clock=lambda: now[0]))
    assert len({row.work for _, row in rows}) == 3  # begun at 0, 100 and 200 seconds
    assert sum(one.seconds for one in chosen) <= gpu.SECONDS < 300


@pytest.mark.usefixtures("_stubs")
def test_rows_of_a_gpu_replace_their_like_and_leave_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label = "training on gpu, LSTM 512, word (10,000), 32 x 64"
    before = [vars(replace(ROW, work="training on cpu")), vars(replace(ROW, work=label, ratio=0.1))]
    here = {"machine": bench.machine(), "ceilings": {"cpu copy": "2 GB/s"}}
    stored = [{**here, "benchmarks": {"training": {"commit": "c", "date": "d", "rows": before}}}]
    (tmp_path / "results.json").write_text(json.dumps(stored))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--accelerator=gpu", f"--to={tmp_path}"])
    bench.main()
    (machine,) = json.loads((tmp_path / "results.json").read_text())
    rows = {(row["work"], row["against"]): row["ratio"] for row in machine["benchmarks"]["training"]["rows"]}
    assert rows["training on cpu", "another"] == 2.0
    assert rows[label, "another"] == rows[label, "a third"] == 2.0
    assert machine["ceilings"] == {"cpu copy": "2 GB/s", "cuda copy": "1 GB/s"}
    assert {"training", "generation", "sweeps"} == set(machine["benchmarks"])


def test_without_a_gpu_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--accelerator=gpu"])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert capsys.readouterr().err.splitlines()[-1].endswith("there is no GPU here; leave it out")
