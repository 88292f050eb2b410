"""The page in a real browser: every run is in it, it sorts, and nothing that a user wrote runs."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made import make_run

from browser import dump_dom
from conftest import Answer
from textloom.reports.collect import find_directories
from textloom.reports.comparison import Comparison, compare_runs
from textloom.reports.events import read_curves
from textloom.reports.html import render_html
from textloom.runs import Run

ATTACK = "</pre><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
PROBE = """
<script>
setTimeout(() => {
  const table = document.querySelector("table.sortable");
  const column = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === "model.units");
  const order = () => [...table.tBodies[0].rows].map(row => row.cells[column].textContent);
  const title = table.tHead.rows[0].cells[column];
  const seen = {before: order()};
  title.click(); seen.up = order();
  title.click(); seen.down = order();
  seen.attacked = window.attacked === undefined ? "no" : "yes";
  seen.charts = [...document.querySelectorAll(".js-plotly-plot")].map(chart => chart.layout.title.text);
  seen.legend = [...document.querySelectorAll(".legendtext")].map(text => text.textContent);
  const chart = document.querySelector(".js-plotly-plot");
  const drawn = () => [...chart.data[0].x];
  seen.steps = drawn();
  const args = chart.layout.updatemenus[0].buttons.map(button => button.args);
  Plotly.update(chart, ...args[1]).then(() => { seen.targets = drawn(); return Plotly.update(chart, ...args[2]); })
    .then(() => {
      seen.seconds = drawn();
      const answer = document.createElement("pre");
      answer.id = "answer";
      answer.textContent = JSON.stringify(seen);
      document.body.append(answer);
    });
}, 2000);
</script>
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "<img src=x onerror=window.attacked=1>"
    for units in (128, 16, 8):
        for seed in (0, 1):
            given = [f"model.units={units}", f"seed={seed}"]
            run = make_run(folder / f"{units}-{seed}", *given, loss=2 + 1 / units + seed / 100)
            run.samples_file.write_text(
                f"--- step 5, temperature 0.5 ---\nearly\n\n--- best checkpoint, temperature 0.5 ---\nbold {ATTACK}\n\n"
                "--- best checkpoint, temperature 1.0 ---\nwild\n\n"
            )
    make_run(folder / "failed", "model.units=4", status="failed", error=ATTACK)
    return folder


@pytest.fixture(scope="module")
def comparison(outputs: Path) -> Comparison:
    return compare_runs(find_directories([str(outputs)]), "val/loss")


def test_a_browser_finds_every_run_sorts_the_table_and_is_not_attacked(
    comparison: Comparison, outputs: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(comparison) + PROBE, encoding="utf-8")
    dom = dump_dom(page.as_uri(), tmp_path / "profile")
    text = html.unescape(dom)
    for run in outputs.iterdir():
        assert str(run) in text
    assert html.escape(ATTACK, quote=False) in dom  # the sample, letter for letter, as text
    answer = re.search(r'<pre id="answer">(.*?)</pre>', dom)
    assert answer is not None, "the page's scripts did not run"
    seen = json.loads(html.unescape(answer[1]))
    assert seen["attacked"] == "no"
    counted = [""] * 3
    assert [units for units in seen["before"] if units] == ["128", "16", "8"]
    assert seen["up"] == ["8", "16", "128", *counted]
    assert seen["down"] == ["128", "16", "8", *counted]
    assert seen["charts"] == ["val/loss", "train/loss", "Parallel Coordinate Plot", "Hyperparameter Importances"]
    assert {f"model.units={units}, seed={seed}" for units in (128, 16, 8) for seed in (0, 1)} <= set(seen["legend"])
    assert seen["steps"] == [5, 10, 15, 20]
    assert seen["targets"] == [500, 1000, 1500, 2000]
    assert seen["seconds"] == sorted(seen["seconds"])
    assert max(seen["seconds"]) < 60


def test_the_page_needs_no_network_and_holds_plotly_once(comparison: Comparison) -> None:
    page = render_html(comparison)
    assert page.count("plotly.js v") == 1
    assert "default-src 'none'" in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", re.sub(r"(?s)<script>.*?</script>", "", page))


def test_a_page_of_unfinished_runs_and_one_of_a_single_run_are_made(tmp_path: Path) -> None:
    make_run(tmp_path / "failed", status="failed", error="x")
    assert "nothing to rank" in render_html(compare_runs([tmp_path / "failed"]))
    run = make_run(tmp_path / "run")
    assert str(run.directory) in render_html(compare_runs([run.directory]))


def test_an_event_file_cut_in_half_gives_the_curves_up_to_there_and_a_warning(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    whole = read_curves(run, ("val/loss",))["val/loss"]
    (file,) = run.directory.glob("events.*")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    cut = read_curves(run, ("val/loss",))["val/loss"]
    assert 0 < len(cut.steps) < len(whole.steps)
    assert list(cut.values) == list(whole.values[: len(cut.values)])
    answer = command("compare", f"runs={run.directory}", "format=html")
    assert answer.status == 0
    assert answer.err.splitlines() == [f"{file}: breaks off in the middle; its curves are shown up to there"]
    assert "<h1>Runs compared by val/bits_per_char</h1>" in answer.out


def test_an_event_file_with_a_flipped_bit_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path / "run")
    (file,) = run.directory.glob("events.*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2 + 3] ^= 1
    file.write_bytes(content)
    read_curves(run, ("val/loss",))
    (told,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert told == f"{run.directory}: its event files are damaged; its curves are shown up to there"


def test_a_run_without_events_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(Run(tmp_path), ("val/loss",)) == {}
