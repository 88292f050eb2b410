"""Texts take as many columns of a terminal as column_count says, and are padded and shortened by them."""

import pytest
from wcwidth import wcswidth

from textloom.data.report import _filled
from textloom.reports.table import TextTable
from textloom.reports.text import WHOLE, _lines, _widths
from textloom.system.columns import column_count, padded, shortened

TEXTS = [
    "plain",
    "größe",
    "gro\u0308ße",
    "红楼梦",
    "吾輩は猫である。",
    "아름다운",
    "שָׁלוֹם",
    "می\u200cروم",
    "🌳 tree",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str) -> None:
    assert column_count(text) == wcswidth(text)
    assert wcswidth(padded(text, 20)) == wcswidth(padded(text, 20, right=True)) == 20


@pytest.mark.parametrize("columns", [3, 8, 9, 40])
def test_a_shortened_text_fits_and_keeps_its_ends(columns: int) -> None:
    path = "书/红楼梦.txt/第一回"
    short = shortened(path, columns)
    assert wcswidth(short) <= columns
    assert (short == path) == (wcswidth(path) <= columns)
    if columns > 3:
        assert (short[0], short[-1]) == ("书", "回")


def test_columns_of_a_table_stand_below_each_other_in_any_script() -> None:
    table = TextTable(("data.path", "val/loss"), (("红楼梦.txt", "1.25"), ("emma.txt", "1.5")))
    lines = _lines(table, _widths(table, WHOLE), WHOLE)
    assert {wcswidth(line) for line in lines} == {len("红楼梦.txt") + 3 + 2 + len("val/loss")}


def test_the_report_of_prepare_fits_into_80_columns_in_any_script() -> None:
    lines = _filled("most frequent", [f"'{'红楼梦' * 3}' {count}" for count in range(20)], "  ")
    assert max(map(wcswidth, lines)) <= 80
