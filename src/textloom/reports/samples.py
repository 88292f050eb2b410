"""The texts of a run's best checkpoint, from its ``samples.txt``."""

import re
from pathlib import Path

HEADER = re.compile(r"^--- best checkpoint, temperature (\S+) ---\n", re.MULTILINE)
LONGEST = 2000  # characters shown of each


def read_samples(file: Path) -> dict[str, str]:
    """Temperature -> text; empty where there are none."""
    try:
        content = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pieces = HEADER.split(content)[1:]  # temperature, text, temperature, text, ...
    return {
        temperature: text.partition("\n--- ")[0].strip()[:LONGEST]
        for temperature, text in zip(pieces[::2], pieces[1::2], strict=True)
    }
