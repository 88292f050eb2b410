"""The docs say what the code does."""

import re
from pathlib import Path

from textloom.command_line import INTERRUPTED
from textloom.training.fitting import EXPLOSION
from textloom.training.resume import MAY_CHANGE

RESUME = (Path(__file__).parents[1] / "docs/resume.md").read_text(encoding="utf-8")


def test_the_keys_that_may_change_are_all_listed() -> None:
    listed = re.findall(r"`([a-z_.]+)`", RESUME.partition("## What may change")[2].partition("Any other key")[0])
    assert sorted(MAY_CHANGE) == sorted(key for key in listed if "=" not in key)


def test_the_numbers_are_the_codes() -> None:
    assert f"exit status is {INTERRUPTED}" in RESUME
    assert EXPLOSION == 10
    assert "more than ten times" in RESUME
