"""``textloom inspect``: a page that opens in a real browser at two widths, of any run, and nothing else is written."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textloom
from browser import dump_dom, framed
from conftest import Answer, train_run
from textloom.export.folder import export_run
from textloom.inspection.page import MOST_SHOWN
from textloom.runs.run import Run

Command = Callable[..., Answer]
ATTACK = "</script><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
BLANKS = " " * 200
TEXT = f"the network (a small one) said “deep learning”\nand then {ATTACK}\t{{{{ 7 * 7 }}}}\x1b[31m end{BLANKS}\n" * 4
PROBE = """
<script>
addEventListener("error", event => { window.failed = event.message; });
addEventListener("unhandledrejection", event => { window.failed = String(event.reason); });
const waiting = setInterval(() => {
  const charts = [...document.querySelectorAll(".js-plotly-plot")], units = document.querySelectorAll("#unit option");
  if (charts.length < document.querySelectorAll(".chart").length || !units.length) return;
  clearInterval(waiting);
  const texts = [...document.querySelectorAll(".tokens")], choice = document.getElementById("unit");
  const colours = box => [...box.children].map(span => span.style.backgroundColor);
  const seen = {attacked: window.attacked === undefined ? "no" : "yes"};
  seen.text = texts[0].textContent;
  seen.tokens = texts.map(text => text.children.length);
  seen.surprise = colours(texts[0]);
  seen.units = [...units].map(option => option.textContent);
  seen.first = [choice.value, colours(texts[1])];
  document.getElementById("next").click();
  seen.second = [choice.value, colours(texts[1])];
  const buttons = [...document.querySelectorAll("button[data-unit]")];
  buttons.at(-1).click();
  seen.button = [choice.value, buttons.at(-1).dataset.unit];
  choice.value = "0";
  choice.dispatchEvent(new Event("change"));
  seen.zero = colours(texts[1]);
  const details = [...document.querySelectorAll(".detail")];
  texts.forEach(text => text.children[4].dispatchEvent(new Event("pointerover", {bubbles: true})));
  seen.details = details.map(detail => detail.textContent);
  seen.charts = [...document.querySelectorAll("h3:has(+ .chart)")].map(heading => heading.textContent);
  seen.widths = charts.map(chart => chart.getBoundingClientRect().width);
  seen.cut = [...document.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect();
    return !element.closest(".table, .chart svg, script") && box.right > document.documentElement.clientWidth + 1;
  }).map(element => element.outerHTML.slice(0, 80));
  seen.page = [document.documentElement.scrollWidth, document.documentElement.clientWidth];
  seen.failed = window.failed || "no";
  parent.postMessage(JSON.stringify(seen), "*");
}, 50);
</script>
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A GRU over words with an embedding."""
    given = ["tokenizer=word", "model=gru", "model.layers=2", "model.embedding_dim=8", "trainer.max_steps=5"]
    return train_run(tmp_path_factory.mktemp("outputs") / "words", *given)


def inspected(command: Command, run: Path, *more: str) -> str:
    """The page."""
    answer = command("inspect", f"run={run}", "to=page.html", *more)
    assert answer.status == 0, answer.err
    assert answer.out == "page.html\n"
    return Path("page.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """What the scripts of a page read."""
    content = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert content is not None
    found: dict[str, Any] = json.loads(content[1])
    return found


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_colours_the_text_shows_any_unit_and_is_not_attacked(
    command: Command, toy_run: Run, tmp_path: Path, width: int
) -> None:
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    inspected(command, toy_run.directory, "text=text.txt", "distance=10")
    page = tmp_path / "page.html"
    # the listeners for errors come first
    head, probe = PROBE.split("const waiting", 1)
    content = page.read_text(encoding="utf-8").replace("</title>", f"</title>{head}</script>", 1)
    page.write_text(f"{content}<script>const waiting{probe}", encoding="utf-8")
    dom = dump_dom(framed(page, width).as_uri(), tmp_path / "profile")
    answer = re.search(r'<pre id="answer">(.*?)</pre>', dom)
    assert answer is not None, "the page's scripts did not run"
    seen = json.loads(html.unescape(answer[1]))
    assert (seen["failed"], seen["attacked"]) == ("no", "no")
    assert seen["text"].replace("↵\n", "\n").count("deep learning") == 4
    assert seen["tokens"] == [len(TEXT)] * 2
    assert len(set(seen["surprise"])) > 20
    assert seen["units"] == [f"{part}, unit {unit}" for part in ("hidden", "cell") for unit in range(32)]
    assert int(seen["second"][0]) == int(seen["first"][0]) + 1
    assert seen["first"][1] != seen["second"][1] != seen["zero"]
    assert seen["button"][0] == seen["button"][1]
    assert re.fullmatch(r'token 5: "n", \d+\.\d\d nats, probability [\d.e-]+ %; likeliest: ".+"', seen["details"][0])
    assert re.fullmatch(r'after token 5: "n", hidden, unit 0 is -?[\d.e-]+', seen["details"][1])
    assert seen["charts"] == [
        "loss along the text", "loss by position in the document", "gate saturation",
        "time scales: 1 / (1 − mean forget gate)",
    ]  # fmt: skip
    assert seen["cut"] == []
    assert seen["page"][0] <= seen["page"][1] <= width
    assert all(width * 0.7 < each < width for each in seen["widths"])


def test_the_page_needs_no_network_and_names_what_it_shows(command: Command, toy_run: Run) -> None:
    page = inspected(command, toy_run.directory, "tokens=200")
    assert len(page) < 1_000_000
    assert "default-src 'none'" in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", re.sub(r"(?s)<script>.*?</script>", "", page))
    shown = " ".join(page.split())
    assert "200 tokens of the validation split, which goes on: the text is cut" in shown
    assert len(data_of(page)["tokens"]) == 200
    assert "in 20 shuffles of blocks of up to 100 tokens" in shown
    assert "At distance 100 it is still above" in shown or "on it is below 1 %" in shown


def test_nothing_that_a_text_holds_becomes_part_of_the_page(command: Command, words: Run) -> None:
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    page = inspected(command, words.directory, "text=text.txt")
    assert "window.attacked" not in re.sub(r"(?s)<script type=.*?</script>", "", page)
    assert "\x1b" not in page
    assert "49" not in data_of(page)["tokens"]


@pytest.mark.parametrize("cell", ["rnn", "transformer"])
def test_a_cell_without_gates_has_a_page_that_says_so(command: Command, tmp_path: Path, cell: str) -> None:
    run = train_run(
        tmp_path / "run", f"model={cell}", "trainer.max_steps=2", "model.layers=2", "model.embedding_dim=null"
    )
    page = inspected(command, run.directory, "tokens=150", "distance=5")
    assert "The model has no embedding" in page
    assert f"The cell {cell} has no gates" in page
    assert "gate saturation" not in page
    assert len(data_of(page)["units"]) >= 16


def test_an_export_and_its_run_give_the_same_page_and_neither_is_written_to(
    command: Command, words: Run, tmp_path: Path
) -> None:
    export_run(words, tmp_path / "export")
    before = {
        path: path.stat().st_mtime_ns for run in (words.directory, tmp_path / "export") for path in run.rglob("*")
    }
    pages = [inspected(command, run, "tokens=300") for run in (words.directory, tmp_path / "export")]
    assert data_of(pages[0]) == data_of(pages[1])
    assert before == {path: path.stat().st_mtime_ns for path in before}
    data = data_of(pages[0])
    assert data["units"][:2] == ["hidden, layer 1, unit 0", "hidden, layer 1, unit 1"]
    neighbours = pages[0].partition('<section id="neighbours">')[2].partition("</section>")[0]
    assert neighbours.count("<tr>") > 20
    assert "update gate" in pages[0]
    default = command("inspect", f"run={words.directory}", "tokens=50")
    assert default.out == f"inspections/{words.directory.parent.name}_words.html\n"
    assert command("inspect", f"run={words.directory}", "tokens=50").status == 0  # a page is written again


def test_a_run_is_inspected_from_python(toy_run: Run, tmp_path: Path) -> None:
    page = textloom.load(toy_run.directory).inspect(to=tmp_path / "pages/mine.html", tokens=60)
    assert page == tmp_path / "pages/mine.html"
    assert len(data_of(page.read_text(encoding="utf-8"))["tokens"]) == 60


def test_an_ngram_model_has_a_page_of_its_surprise(command: Command, tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "experiment=ngram")
    page = inspected(command, run.directory)
    assert "An n-gram model has no units." in page
    data = data_of(page)
    loss = run.results()["val/loss"]
    assert sum(data["nats"]) / len(data["nats"]) == pytest.approx(loss, abs=0.001)


def test_a_page_of_many_units_keeps_its_size(command: Command, toy_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_SHOWN == 6_000_000
    monkeypatch.setattr("textloom.inspection.page.MOST_SHOWN", 40 * 200)
    page = inspected(command, toy_run.directory, "tokens=200")
    assert len(data_of(page)["units"]) == 40
    assert "Of 64 units 24 are left out" in " ".join(page.split())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["text=nowhere.txt"], "text=nowhere.txt: names no file"),
        (["text=folder"], "text=folder: is a folder; give a file"),
        (["text=empty.txt"], "text=empty.txt: the file is empty; give one that holds text"),
        (["text=binary.txt"], "binary.txt: "),
        (["tokens=1"], "tokens=1: must be greater than 1"),
        (["tokens=1000000"], "tokens=1000000: must be less than or equal to 100000"),
        (["distance=0"], "distance=0: must be greater than 0"),
        (["run=elsewhere"], "run=elsewhere: there is no such directory"),
        (["to=thesis.html"], "to=thesis.html: exists, and is not a page of textloom inspect; give another name"),
        (["to=folder"], "to=folder: is a directory; give the name of a file, such as to=folder/page.html"),
        (["txt=a"], "txt: there is no such key, did you mean text?"),
    ],
)
def test_bad_input_is_one_line(command: Command, toy_run: Run, given: list[str], message: str) -> None:
    Path("folder").mkdir()
    Path("empty.txt").touch()
    Path("binary.txt").write_bytes(b"abc\xff\xfe\x00\x80")
    Path("thesis.html").write_text("<p>mine</p>")
    answer = command("inspect", f"run={toy_run.directory}", *given)
    assert answer.status == 2
    lines = [line for line in answer.err.strip().splitlines() if not line.startswith("run: ")]
    assert len(lines) == 1
    assert lines[0].startswith(message)
    assert answer.out == ""
    assert Path("thesis.html").read_text() == "<p>mine</p>"


def test_a_training_ends_with_the_line_that_opens_the_page(command: Command) -> None:
    sizes = ["model.units=8", "trainer.max_steps=1", "trainer.progress_bar=false", "samples.length=5", "name=tiny"]
    lines = command("train", *sizes).out.rstrip().splitlines()
    (line,) = (line for line in lines if line.startswith("look inside:"))
    typed = line.split()[2:]
    assert typed[:2] == ["textloom", "inspect"]
    answer = command(*typed[1:], "tokens=30")
    assert answer.status == 0, answer.err
    assert Path(answer.out.strip()).is_file()
