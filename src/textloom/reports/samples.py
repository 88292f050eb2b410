"""Read the samples of a run's best checkpoint, and how much of them is copied from the training text."""

import logging
import re
from pathlib import Path
from statistics import fmean

from textloom.errors import RunError
from textloom.evaluation.memorization import Memorization
from textloom.runs.run import Run
from textloom.system.files import read_json

log = logging.getLogger(__name__)

LONGEST_COPY = "samples/longest_copy"
MEMORIZATION = (LONGEST_COPY, "samples/new_ngrams", "samples/distinct_ngrams", "samples/ngram_perplexity")
"""Figures of a run's samples: the largest of all temperatures, and means over them."""

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


def read_memorization(run: Run) -> dict[str, Memorization]:
    """Temperature -> figures of its text; empty for runs of former versions, which did not measure them."""
    if not run.memorization_file.exists():
        return {}
    try:
        return {key: Memorization(**found) for key, found in read_json(run.memorization_file).items()}
    except (RunError, TypeError) as error:
        log.warning("passed over: %s: %s", run.memorization_file, error)
        return {}


def memorization_figures(run: Run) -> dict[str, float]:
    """The figures of ``MEMORIZATION``, as far as they were measured."""
    texts = read_memorization(run).values()
    if not texts:
        return {}
    measured = [(one.new_ngrams, one.distinct, one.ngram_perplexity) for one in texts]
    columns = ([value for value in column if value is not None] for column in zip(*measured, strict=True))
    means = {name: fmean(column) for name, column in zip(MEMORIZATION[1:], columns, strict=True) if column}
    return {LONGEST_COPY: float(max(one.longest_copy for one in texts))} | means
