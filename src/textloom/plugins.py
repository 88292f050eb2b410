"""Plugins: packages and modules of others that register cells, tokenizers and data sources when they are imported.

Only what is installed (an entry point of a group such as ``textloom.cells``) or named by the user in the environment
(``TEXTLOOM_PLUGINS=module,...``) is imported. Nothing that stands in a config, a run directory or an export is.
"""

import importlib
import os
from importlib.metadata import entry_points

from textloom.errors import PluginError

VARIABLE = "TEXTLOOM_PLUGINS"


def load_plugins(group: str) -> None:
    """Import the plugins of an entry-point group, and the modules that ``TEXTLOOM_PLUGINS`` names.

    Raises PluginError, naming the plugin, if one cannot be imported.
    """
    for entry in entry_points(group=group):
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


def named_modules() -> list[str]:
    """The modules that ``TEXTLOOM_PLUGINS`` names."""
    return [name for part in os.environ.get(VARIABLE, "").split(",") if (name := part.strip())]


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
