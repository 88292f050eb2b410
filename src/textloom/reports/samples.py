"""Read the samples of a run's best checkpoint from ``samples.txt``."""

import re
from pathlib import Path

HEADER = re.compile(
    r"^--- (?P<label>step \d+|best checkpoint)"
    r"(?:, (?P<length>\d+) characters)?, temperature (?P<temperature>\S+) ---\n",
    re.MULTILINE,
)
GAP = "\n\n"  # after each text


def read_samples(file: Path) -> dict[str, str]:
    """Temperature -> text, unchanged; empty if there are none.

    Older files, whose headers have no length, are read up to the next line that looks like a header.
    """
    try:
        with file.open(encoding="utf-8", errors="replace", newline="") as opened:
            content = opened.read()
    except OSError:
        return {}
    texts: dict[str, str] = {}
    header = HEADER.search(content)
    while header:
        begin = header.end()
        if header["length"] is not None:
            end = begin + int(header["length"])
            following = HEADER.search(content, end)
        else:
            following = HEADER.search(content, begin)
            end = following.start() if following else len(content)
        if header["label"] == "best checkpoint":
            text = content[begin:end]
            texts[header["temperature"]] = text if header["length"] is not None else text.removesuffix(GAP)
        header = following
    return texts
