"""Paths as users write them, and the cache folder that all runs share."""

import os
from glob import has_magic
from pathlib import Path
from typing import Any

from textloom.config.quoting import one_line
from textloom.errors import ConfigError

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")
"""The endings of the names of tables, before that of a compression."""


def is_table(name: str) -> bool:
    """True if the name of a file is that of a table."""
    return any(suffix in TABLE_SUFFIXES for suffix in Path(name.lower()).suffixes[-2:])


def with_home(path: str, key: str) -> str:
    """The path with a home directory in place of a leading ``~``, unless a file of that name is there.

    Raises ConfigError if there is no such user.
    """
    expanded = os.path.expanduser(path)
    if path.startswith("~") and expanded == path and not os.path.lexists(path):
        user, path = one_line(path.partition("/")[0]), one_line(path)
        raise ConfigError(f"{key}={path}: there is no home directory {user}; for a file of that name give ./{path}")
    return expanded


def one_spelling(value: Any) -> Any:
    """The value of a key for paths with one spelling for each path: relative, without links and ``..``.

    A list of one path is the path itself. A name that is not a file, such as the id of a data set, stays as it is.
    """
    if isinstance(value, list | tuple):
        return one_spelling(value[0]) if len(value) == 1 else [one_spelling(path) for path in value]
    if not isinstance(value, str):
        return value
    path = os.path.expanduser(value)
    return os.path.relpath(os.path.realpath(path)) if os.path.lexists(path) or has_magic(path) else value


def cache_directory() -> Path:
    """The folder that runs share: ``TEXTLOOM_CACHE``, or ``~/.cache/textloom``."""
    given = os.environ.get("TEXTLOOM_CACHE")
    return Path(with_home(given, "TEXTLOOM_CACHE")) if given else Path.home() / ".cache" / "textloom"
