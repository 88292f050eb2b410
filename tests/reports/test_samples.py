"""Generated texts are shown letter for letter: in samples.txt, in TensorBoard, and on the page."""

import io
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tensorboard.plugin_util import markdown_to_safe_html

from conftest import TINY, compose_train
from textloom.reports.samples import read_samples
from textloom.runs.run import Run
from textloom.system.streams import for_stdout, visible
from textloom.tokenizers.byte import ByteTokenizer
from textloom.training.callbacks import samples
from textloom.training.callbacks.samples import Sampler

TEXTS = [
    "    four blanks before, two after  ",
    "\n\n  blank lines before and after \n \n\n",
    "a line\n--- that is no header\nanother\n\n--- best checkpoint, temperature 1.0 ---\nno text of ours\n\n",
    "tab\tand \x1b[31mred\x1b[0m\x00\x07 and a carriage\rreturn",
    "*stars* _lines_ # hash | bar | <pre></pre> </code> &amp; ``` ~~~\n```\n    indented\n| a | b |\n|---|---|",
    "x" * 50_000 + " ",
    "",
    "שלום \u202e עולם — ไทย हिन्दी 👩‍👩‍👧",
]


class _Texts(HTMLParser):
    """The content of each ``pre``."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.found = False, list[str]()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "pre":
            self.inside = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1] += data


@pytest.fixture
def sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sampler:
    """A sampler whose model writes the texts above, one for each temperature."""
    monkeypatch.setattr(samples, "generate_texts", lambda *arguments, **keywords: list(TEXTS))
    temperatures = ",".join(f"{1 + number / 10}" for number in range(len(TEXTS)))
    config = compose_train(*TINY, f"samples.temperatures=[{temperatures}]").samples
    return Sampler(config, ByteTokenizer(), "prompt", None, tmp_path / "samples.txt")


def test_samples_txt_gives_back_every_text_as_it_is(sampler: Sampler) -> None:
    for label in ("step 5", "best checkpoint"):
        sampler.write(None, label)  # type: ignore[arg-type]  # no model is asked
    assert list(read_samples(sampler.file).values()) == TEXTS


def test_samples_of_older_runs_are_read_up_to_the_next_header(tmp_path: Path) -> None:
    file = Run(tmp_path).samples_file
    file.write_text(
        "--- step 5, temperature 0.5 ---\nearly\n\n--- best checkpoint, temperature 0.5 ---\n  bold\n--- a dash\n\n\n"
        "--- best checkpoint, temperature 1.0 ---\nwild \n\n"
    )
    assert read_samples(file) == {"0.5": "  bold\n--- a dash\n", "1.0": "wild "}
    assert read_samples(tmp_path / "none.txt") == {}


def test_tensorboard_shows_every_text_letter_for_letter(sampler: Sampler) -> None:
    shown: list[str] = []

    class Experiment:
        def add_text(self, tag: str, text: str, step: int) -> None:
            shown.append(text)

    class Logger:
        experiment = Experiment()

    sampler.show(Logger(), dict(enumerate(TEXTS)), 1)  # type: ignore[arg-type]
    parser = _Texts()
    parser.feed(markdown_to_safe_html(shown[0]))
    assert parser.found == [visible(text) for text in TEXTS]


def test_a_terminal_gets_no_escape_sequences_and_a_file_gets_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdout(io.StringIO):
        terminal = True

        def isatty(self) -> bool:
            return self.terminal

    monkeypatch.setattr(sys, "stdout", Stdout())
    assert for_stdout("\x1b[2Jtext") == "␛[2Jtext"
    Stdout.terminal = False
    assert for_stdout("\x1b[2Jtext") == "\x1b[2Jtext"


def test_control_characters_are_shown_and_every_other_character_is_left() -> None:
    assert visible("\x1b[2J\x9b\x7f\r\x00") == "␛[2J\\x9b␡␍␀"
    assert visible("a\tb\nü हि \u200d \U0001f468") == "a\tb\nü हि \u200d \U0001f468"
