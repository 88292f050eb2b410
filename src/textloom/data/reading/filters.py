"""Filters that select rows of a table."""

import datetime
import re
from typing import Any

from textloom.config import Bounds
from textloom.data.normalization import normalize_text
from textloom.errors import DataError

YAML_WORDS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?")
OTHER_BASES = {
    8: re.compile(r"[-+]?0[0-7_]+"),
    16: re.compile(r"[-+]?0x[0-9a-fA-F_]+"),
    2: re.compile(r"[-+]?0b[01_]+"),
}


class Filter:
    """The condition on a column: a value, one of a list of values, or inclusive bounds.

    Numbers are compared as numbers, text as it is written, dates of Parquet as ISO text.
    """

    def __init__(self, column: str, wanted: Any):
        self.column = column
        self.bounds = wanted if isinstance(wanted, Bounds) else None
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        self.choices = [normalize_text(choice, "nfc") if isinstance(choice, str) else choice for choice in choices]
        self._known: dict[str, bool] = {}

    def passes(self, cell: Any) -> bool:
        """True if a cell meets the condition. Raises DataError if YAML has read the cell's text as another value."""
        if cell is None:
            return False
        if not isinstance(cell, str):
            return self._passes(cell)
        if cell not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[cell] = self._passes(cell)
        return self._known[cell]

    def _passes(self, cell: Any) -> bool:
        if self.bounds is not None:
            least, greatest = self.bounds.min, self.bounds.max
            numbers = any(isinstance(bound, int | float) for bound in (least, greatest))
            if numbers and isinstance(cell, str) and SEXAGESIMAL.fullmatch(cell):
                raise DataError(
                    f"data.filters.{self.column}: the column holds {cell!r}, which YAML reads as a number without "
                    f"quotes; write the bounds in quotes, for example {{min: '{cell}'}}"
                )
            return (least is None or _compared(cell, least, False)) and (
                greatest is None or _compared(cell, greatest, True)
            )
        for choice in self.choices:
            if not isinstance(choice, str) and isinstance(cell, str) and _was_meant(cell, choice):
                raise DataError(
                    f"data.filters.{self.column}={shown(choice)}: the column holds {cell!r}, which YAML reads as "
                    f"{shown(choice)} without quotes; write what the column holds in quotes, for example '{cell}'"
                )
        return any(_equal(cell, choice) for choice in self.choices)


def shown(wanted: Any) -> str:
    """The condition as YAML writes it."""
    if isinstance(wanted, Bounds):
        bounds = {"min": wanted.min, "max": wanted.max}
        return f"{{{', '.join(f'{name}: {bound}' for name, bound in bounds.items() if bound is not None)}}}"
    if isinstance(wanted, tuple):
        return f"[{', '.join(map(shown, wanted))}]"
    return str(wanted).lower() if isinstance(wanted, bool) else str(wanted)


def as_number(value: Any) -> int | float | None:
    """A cell as a number, or None."""
    if isinstance(value, int | float):
        return value
    try:
        return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else float(value)
    except (TypeError, ValueError):
        return None


def _was_meant(cell: str, choice: bool | int | float) -> bool:
    """True if YAML 1.1 reads the text as the choice, although they are written differently."""
    text = cell.strip()
    if isinstance(choice, bool):
        word = text.lower()
        return word not in ("true", "false") and YAML_WORDS.get(word) is choice
    if as_number(text) == choice:
        return False
    if SEXAGESIMAL.fullmatch(text):
        value = 0.0
        for digits in text.lstrip("+-").split(":"):
            value = value * 60 + float(digits)
        return (-value if text.startswith("-") else value) == choice
    return any(
        pattern.fullmatch(text) and int(text.replace("_", ""), base) == choice for base, pattern in OTHER_BASES.items()
    )


def _equal(cell: Any, choice: Any) -> bool:
    if isinstance(choice, bool):
        return str(cell).strip().lower() == str(choice).lower()
    if isinstance(choice, int | float):
        return bool(as_number(cell) == choice)
    if isinstance(cell, bool):
        return bool(str(cell).lower() == choice.lower())
    if isinstance(cell, int | float):
        return bool(as_number(choice) == cell)
    if isinstance(cell, datetime.date):
        return bool(choice in (str(cell), cell.isoformat(), str(cell).removesuffix(" 00:00:00")))
    return bool(normalize_text(str(cell), "nfc") == choice)


def _compared(cell: Any, bound: Any, below: bool) -> bool:
    if isinstance(bound, str):
        return str(cell) <= bound if below else str(cell) >= bound
    number = as_number(cell)
    return number is not None and bool(number <= bound if below else number >= bound)
