"""Prompts from a file or from standard input: one on each line, as a text or as a JSON object."""

import json
import sys
from pathlib import Path

from textloom.errors import DataError

STANDARD_INPUT = "-"
KEY = "prompt"


def read_prompts(path: str) -> list[str]:
    """The prompts of a UTF-8 file, or of standard input for ``-``; empty lines are left out.

    A line that begins with a brace is a JSON object, whose prompt may hold line ends. Raises DataError, with the
    number of the line, if it is not one with a text ``prompt``, and if there is no prompt at all.
    """
    name = "standard input" if path == STANDARD_INPUT else f"prompts={path}"
    prompts: list[str] = []
    for number, line in enumerate(_read(path, name).splitlines(), start=1):
        if line.startswith("{"):
            prompts.append(_prompt_of(line, f"{name}: line {number}"))
        elif line.strip():
            prompts.append(line)
    if not prompts:
        raise DataError(f"{name}: holds no prompt; give one on each line")
    return prompts


def _read(path: str, name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start + 1}; convert it with iconv -t UTF-8") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name}: cannot be read ({reason}); give a file with a prompt on each line") from error


def _prompt_of(line: str, place: str) -> str:
    cure = f'write it as {{"{KEY}": "text"}}'
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: begins with a brace, and is not JSON ({error}); {cure}") from error
    prompt = record.get(KEY)
    if not isinstance(prompt, str) or not prompt:
        raise DataError(f'{place}: has no text "{KEY}"; {cure}')
    return prompt
