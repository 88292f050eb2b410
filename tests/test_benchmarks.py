"""Every benchmark runs, and what it measures is told."""

import json
from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
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
    bench.run(["training", "wikitext"], tmp_path, quick=True)
    monkeypatch.setattr(training, "main", lambda quick: [replace(ROW, ratio=1.0)])
    bench.run(["training"], tmp_path, quick=True)
    text = (tmp_path / "RESULTS.md").read_text()
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
