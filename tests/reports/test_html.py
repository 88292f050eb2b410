"""The page in a real browser: every run is in it, it sorts, and nothing that a user wrote runs."""

import gzip
import html
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from made import make_run

from browser import dump_dom
from conftest import Answer
from textloom.reports.collect import find_directories
from textloom.reports.compare import Comparison, Group, Row, compare_runs
from textloom.reports.events import read_curves
from textloom.reports.figures import parameter_figures
from textloom.reports.html import PLOTLY, render_html
from textloom.reports.statistics import Spread
from textloom.runs.run import Run
from textloom.system.files import write_json
from textloom.system.streams import visible

ATTACK = "</pre><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
SAMPLE = f"\n    bold {ATTACK}\n--- not a header\n{'long ' * 1000}\x1b[31m end  "
PROBE = """
<script>
const waiting = setInterval(() => {
  const charts = [...document.querySelectorAll(".js-plotly-plot")];
  if (charts.length < document.querySelectorAll(".chart").length) return;
  clearInterval(waiting);
  const table = document.querySelector("table.sortable");
  const column = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === "model.units");
  const order = () => [...table.tBodies[0].rows].map(row => row.cells[column].textContent);
  const title = table.tHead.rows[0].cells[column];
  const seen = {before: order()};
  title.click(); seen.up = order();
  title.click(); seen.down = order();
  seen.attacked = window.attacked === undefined ? "no" : "yes";
  seen.charts = [...document.querySelectorAll("h3:has(+ .chart)")].map(heading => heading.textContent);
  seen.legend = [...charts[0].querySelectorAll(".legendtext")].map(text => text.textContent);
  const drawn = () => [...charts[0].data[0].x], buttons = charts[0].parentElement.querySelectorAll("p button");
  seen.buttons = [...buttons].map(button => button.textContent);
  seen.steps = drawn();
  buttons[1].click(); seen.targets = drawn(); seen.axis = charts[0].layout.xaxis.title.text;
  buttons[2].click(); seen.seconds = drawn();
  // what sticks out of the page is cut; a table may scroll inside its own frame
  seen.cut = [...document.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect();
    return !element.closest(".table, .chart svg, script") && box.right > document.documentElement.clientWidth + 1;
  }).map(element => element.outerHTML.slice(0, 80));
  seen.page = [document.documentElement.scrollWidth, document.documentElement.clientWidth];
  seen.widths = charts.map(chart => chart.getBoundingClientRect().width);
  seen.samples = [...document.querySelectorAll(".samples pre")].map(sample => sample.textContent);
  seen.copied = [...document.querySelectorAll(".samples .note")].map(note => note.textContent);
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify(seen);
  document.body.append(answer);
}, 50);
</script>
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "<img src=x onerror=window.attacked=1>"
    for units in (128, 64, 16, 8):
        for seed in (0, 1):
            given = [f"model.units={units}", f"seed={seed}"]
            run = make_run(folder / f"{units}-{seed}", *given, loss=2 + 1 / units + seed / 100)
            run.samples_file.write_text(
                f"--- step 5, 5 characters, temperature 0.5 ---\nearly\n\n"
                f"--- best checkpoint, {len(SAMPLE)} characters, temperature 0.5 ---\n{SAMPLE}\n\n"
                "--- best checkpoint, temperature 1.0 ---\nwild\n\n"
            )
            copied = {"longest_copy": 3, "copied": ATTACK, "new_ngrams": 0.25, "distinct": None, "n": 16}
            write_json(run.memorization_file, {"0.5": {**copied, "ngram_perplexity": 7.5}})
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
    answer = re.search(r'<pre id="answer">(.*?)</pre>', dom)
    assert answer is not None, "the page's scripts did not run"
    seen = json.loads(html.unescape(answer[1]))
    assert seen["attacked"] == "no"
    assert seen["samples"][:2] == [visible(SAMPLE), "wild"]
    assert len(seen["copied"]) == 4
    assert set(seen["copied"]) == {
        f"longest copy of training text: 3 tokens {ATTACK!r}; 16-grams: new 25.0%; perplexity under an n-gram 7.5"
    }
    counted = [""] * 3
    assert [units for units in seen["before"] if units] == ["128", "64", "16", "8"]
    assert seen["up"] == ["8", "16", "64", "128", *counted]
    assert seen["down"] == ["128", "64", "16", "8", *counted]
    assert seen["charts"] == ["val/loss", "train/loss", "keys and results"]  # too few for the importance of keys
    assert seen["legend"] == [f"model.units={units}" for units in (128, 64, 16, 8)]
    assert seen["buttons"] == ["steps", "targets", "seconds"]
    assert seen["steps"] == [5, 10, 15, 20]
    assert (seen["targets"], seen["axis"]) == ([500, 1000, 1500, 2000], "targets trained on")
    assert seen["seconds"] == sorted(seen["seconds"])
    assert max(seen["seconds"]) < 60
    assert seen["cut"] == []
    assert seen["page"][0] <= seen["page"][1] <= 1280
    assert all(width > 1000 for width in seen["widths"])


def test_the_page_needs_no_network_and_holds_plotly_once(comparison: Comparison) -> None:
    page = render_html(comparison)
    assert len(page) < 700_000
    assert page.count('id="plotly"') == 1
    assert gzip.decompress(files("textloom.reports").joinpath(PLOTLY).read_bytes()).startswith(
        b"/**\n* plotly.js (basic"
    )
    assert "default-src 'none'" in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", re.sub(r"(?s)<script>.*?</script>", "", page))


def test_importance_needs_many_configurations_and_any_figures_can_be_drawn() -> None:
    def group(count: int, loss: Callable[[int], float], values: Callable[[int], object]) -> Group:
        rows = [
            Row({"model.units": 8 * (i + 1), "key": values(i)}, {"val/loss": Spread((loss(i),))}) for i in range(count)
        ]
        return Group("", ("model.units", "key"), tuple(rows), ())

    def titles(*given: Any) -> list[str]:
        figures = parameter_figures(group(*given), "val/loss")
        assert "NaN" not in json.dumps(figures)
        return [figure["title"] for figure in figures]

    assert titles(1, float, str) == []
    assert titles(3, float, str) == []
    assert titles(4, float, str) == ["keys and results"]
    assert titles(12, lambda i: 1 / (i + 1), lambda i: i % 3) == ["keys and results", "importance of each key"]
    for value in (0.0, 1e-12, 5.0):  # all equal: nothing to explain
        assert "keys and results" in titles(12, lambda i, value=value: value, lambda i: [i % 2, "<b>"])
    assert titles(12, lambda i: float("inf") if i else 1.0, str) == []
    assert titles(12, lambda i: i * 1e-13, lambda i: None if i % 2 else True)[0] == "keys and results"


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


def test_an_event_file_with_a_flipped_bit_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
