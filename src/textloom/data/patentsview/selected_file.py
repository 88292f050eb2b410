"""The files of selected patents: one Parquet file for each selection, named by its settings."""

import hashlib
import json
import re
import shlex
from pathlib import Path

from textloom.config.patents import PatentSelection
from textloom.config.paths import cache_directory
from textloom.errors import DataError
from textloom.system.command_hint import as_command


def patentsview_directory() -> Path:
    """The folder of downloads and selections: ``patentsview`` in the cache (``TEXTLOOM_CACHE``)."""
    return cache_directory() / "patentsview"


def settings(selection: PatentSelection) -> dict[str, str | int | list[str]]:
    """The keys of a selection that were given, which distinguish it from others."""
    names = ("query", "regex", "first_year", "last_year", "cpc")
    return {name: value for name, value in selection.model_dump(mode="json", include=set(names)).items() if value}


def selected_file(selection: PatentSelection) -> Path:
    """The file of a selection, named after its settings."""
    given = settings(selection)
    key = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]
    words = "_".join(re.findall(r"\w+", " ".join(map(str, given.values())).casefold()))[:60] or "all"
    return patentsview_directory() / "selections" / f"{words}-{key}.parquet"


def find_selected_file(selection: PatentSelection) -> Path:
    """The file of a selection. Raises DataError if it has not been fetched yet."""
    path = selected_file(selection)
    if not path.exists():
        asked = " ".join(
            shlex.quote(f"data.{name}={'[' + ','.join(value) + ']' if isinstance(value, list) else value}")
            for name, value in settings(selection).items()
        )
        raise DataError(
            "data.source=odp: these patents are not here yet; fetch them first: "
            f"{as_command('prepare')} data=patents data.source=odp {asked}".rstrip()
        )
    return path
