"""textloom trains recurrent language models from composed configs, generates text with them, and compares them.

>>> import textloom
>>> run = textloom.train("model.units=64", trainer={"max_epochs": 2})
>>> run.results["val/loss"], run.generate("deep learn", length=100)

``import textloom`` is fast: the modules that a call needs are imported with the first call.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textloom.api import Run, compare, load, prepare, train
    from textloom.errors import (
        ConfigError,
        DataError,
        DivergenceError,
        GenerationError,
        Interrupted,
        PluginError,
        RunError,
        TextloomError,
        TrainingError,
    )
    from textloom.generation.state import State

__all__ = [
    "ConfigError",
    "DataError",
    "DivergenceError",
    "GenerationError",
    "Interrupted",
    "PluginError",
    "Run",
    "RunError",
    "State",
    "TextloomError",
    "TrainingError",
    "compare",
    "load",
    "prepare",
    "train",
]
_API = ("Run", "compare", "load", "prepare", "train")
_MODULES = dict.fromkeys(_API, "textloom.api") | {"State": "textloom.generation.state"}


def __getattr__(name: str) -> Any:
    """Import the object of this name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "textloom.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
