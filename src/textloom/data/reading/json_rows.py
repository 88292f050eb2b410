"""JSON with one object for each row: on a line each, in one array, or one after the other."""

import json
import re
from collections.abc import Iterator
from typing import Any

from textloom.data.normalization import Normalizer
from textloom.data.reading.contents import Content
from textloom.data.reading.decoding import read_text, text_lines, text_pieces
from textloom.data.reading.slices import ROWS, ObjectSlice, Slice
from textloom.errors import DataError

WHITE = " \t\r\n"
BETWEEN = re.compile(r"[\s,\[\]]*")  # the values of an array
LONGEST_WORD = 16  # characters of a number, an escape or a word that the end of a piece may cut


def read_json_rows(content: Content) -> Iterator[Slice]:
    """The slices of a JSON file. Raises DataError, naming the line, for anything but objects."""
    names: dict[str, None] = {}
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    for line, row in _objects(content):
        if not isinstance(row, dict):
            what = "a list" if isinstance(row, list) else f"{row!r:.40}"
            raise DataError(
                f"{content.label}: cannot be read as {content.suffix[1:]}: line {line} holds {what}, not an object; "
                'write each row as {"text": "..."}'
            )
        if not row.keys() <= names.keys():
            names |= dict.fromkeys(row)
        objects.append(row)
        lines.append(line)
        if len(objects) == ROWS:
            yield ObjectSlice(list(names), objects, lines)
            objects, lines = [], []
    if len(objects) == 1 and all(isinstance(value, dict | list) for value in objects[0].values()):
        raise DataError(
            f"{content.label}: cannot be read as {content.suffix[1:]}: it holds one object of lists or objects, not "
            "one object a row; write a list of rows (pandas: to_json(orient='records'))"
        )
    if objects:
        yield ObjectSlice(list(names), objects, lines)


def _objects(content: Content) -> Iterator[tuple[int, Any]]:
    """Each value with its line: one on each line if the first line is a value, otherwise wherever they begin."""
    if not _is_one_a_line(content):
        yield from _values(content)
        return
    for number, line in enumerate(text_lines(content), start=1):
        if line.strip(WHITE):
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(_broken(content, number, error)) from error


def _is_one_a_line(content: Content) -> bool:
    beginning = next((text.lstrip(WHITE) for text in read_text(content) if text.strip(WHITE)), "")
    if beginning.startswith("["):
        return False
    first = next((line for line in text_lines(content) if line.strip(WHITE)), "")
    try:
        json.loads(first)
    except ValueError:
        return False
    return True


def _values(content: Content) -> Iterator[tuple[int, Any]]:
    """The values of an array, or values one after the other, decoded while they are read."""
    decoder = json.JSONDecoder()
    texts = (text for text, _ in text_pieces(content, Normalizer(None)))
    held, at, line, depth = "", 0, 1, 0
    while True:
        found = BETWEEN.match(held, at)
        assert found is not None
        between, at = found[0], found.end()
        line += between.count("\n")
        depth += between.count("[") - between.count("]")
        error: Exception | None = None
        if at < len(held):
            try:
                value, end = decoder.raw_decode(held, at)
            except json.JSONDecodeError as reason:
                error = reason
                if "Unterminated" not in reason.msg and reason.pos < len(held) - LONGEST_WORD:
                    raise DataError(_broken(content, line + held.count("\n", at, reason.pos), error)) from error
            except RecursionError as reason:
                raise DataError(_broken(content, line, reason)) from reason
            else:
                yield line, value
                line += held.count("\n", at, end)
                at = end
                continue
        more = _at_least(len(held) - at if error else 1, texts)  # doubles the text before a value is decoded again
        if not more:
            if error is not None or depth:
                raise DataError(_broken(content, line, error or ValueError("it ends within an array"))) from error
            return
        held, at = held[at:] + more, 0


def _at_least(characters: int, texts: Iterator[str]) -> str:
    found: list[str] = []
    for text in texts:
        found.append(text)
        characters -= len(text)
        if characters <= 0:
            break
    return "".join(found)


def _broken(content: Content, line: int, error: Exception) -> str:
    reason = error.msg.removesuffix(" starting at") if isinstance(error, json.JSONDecodeError) else str(error)
    kind = content.suffix[1:]
    return f"{content.label}: cannot be read as {kind}: line {line} is broken ({reason}); correct it, or remove it"
