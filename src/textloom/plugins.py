"""Plugins: third-party packages and modules that register cells, tokenizers and data sources when they are imported.

Only what is installed (an entry point of one of the groups) or named by the user in the environment
(``TEXTLOOM_PLUGINS=module,...``) is imported. A config, a run directory or an export never causes an import.

A plugin may have YAML files, in a folder ``conf`` beside its module that is laid out as that of textloom: for a cell
``conf/model/NAME.yaml``.
"""

import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from textloom.errors import PluginError

GROUPS = ("textloom.cells", "textloom.tokenizers", "textloom.sources")
VARIABLE = "TEXTLOOM_PLUGINS"


def load_plugins(group: str) -> None:
    """Import the plugins of an entry-point group, and the modules that ``TEXTLOOM_PLUGINS`` names.

    Raises PluginError, naming the plugin, if one cannot be imported.
    """
    for entry in _entry_points(tuple(sys.path)).get(group, ()):
        package = f" of {entry.dist.name}" if entry.dist is not None else ""
        try:
            entry.load()
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(
                f"{group}: the plugin {entry.name}{package} ({entry.value}) cannot be imported: {_reason(error)}; "
                "repair or uninstall its package"
            ) from error
    for module in named_modules():
        try:
            importlib.import_module(module)
        except PluginError:
            raise
        except Exception as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == module
            cure = "install its package, or add its folder to PYTHONPATH" if missing else "repair it, or leave it out"
            raise PluginError(f"{VARIABLE}={module}: cannot be imported: {_reason(error)}; {cure}") from error


def named_modules() -> tuple[str, ...]:
    """The modules that ``TEXTLOOM_PLUGINS`` names."""
    return tuple(name for part in os.environ.get(VARIABLE, "").split(",") if (name := part.strip()))


def config_directories() -> list[Path]:
    """The folders ``conf`` beside the modules of all plugins. A module that cannot be found has none."""
    installed = [entry.module for group in GROUPS for entry in _entry_points(tuple(sys.path)).get(group, ())]
    directories = []
    for module in dict.fromkeys([*installed, *named_modules()]):
        with suppress(ImportError, ValueError, AttributeError):
            spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin is not None:
                directories.append(Path(spec.origin).resolve().parent / "conf")
    return [directory for directory in dict.fromkeys(directories) if directory.is_dir()]


@lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """The plugins of each group on the path. Reading the metadata takes 10 ms, and every command waits for it."""
    every = entry_points()
    return {group: tuple(every.select(group=group)) for group in every.groups if group.startswith("textloom.")}


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
