"""Paths as people type them."""

import os

from textloom.config.quoting import one_line
from textloom.errors import ConfigError


def with_home(path: str, key: str) -> str:
    """The path with a home directory in place of a leading ``~``, unless a file of that name is there.

    Raises ConfigError if there is no such user.
    """
    expanded = os.path.expanduser(path)
    if path.startswith("~") and expanded == path and not os.path.lexists(path):
        user, path = one_line(path.partition("/")[0]), one_line(path)
        raise ConfigError(f"{key}={path}: there is no home directory {user}; for a file of that name give ./{path}")
    return expanded
