"""Compose the config of a command from Python: overrides of the command line, and keyword values as they are.

Only the overrides are parsed by Hydra's grammar: a text given by keyword may contain any characters.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Generic

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from textloom.config.arguments import hydra_arguments, unresolved_text
from textloom.config.checking import ConfigType, check, config_directory, explain, flatten, merge_into
from textloom.config.keys import kind_of
from textloom.config.quoting import as_value, one_line, without_interpolations
from textloom.config.section import Section
from textloom.errors import ConfigError
from textloom.plugins import config_directories

HYDRA_STATE = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)
_composing = threading.Lock()
MISSING = "???"  # OmegaConf's sign for a value that must be given


@dataclass(frozen=True)
class Composed(Generic[ConfigType]):
    """The config of a command, and the directory that Hydra would write to."""

    config: ConfigType
    directory: Path
    """``hydra.run.dir``: absolute, or relative to the working directory."""


def compose(
    name: str, schema: type[ConfigType], overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> Composed[ConfigType]:
    """Compose ``conf/NAME.yaml`` with overrides, then with values, and check it.

    ``values`` are groups and keys: a dictionary sets the keys of a group, a text chooses one of the group's configs.
    Hydra's state in this process is left as it was. Raises ConfigError with one line for each mistake.
    """
    chosen, exact = _choices(overrides, plain(values or {}))
    arguments = hydra_overrides([*chosen, *overrides], schema)
    try:
        with _own_hydra(), initialize_config_dir(str(config_directory()), name, version_base="1.3"):
            config = hydra_compose(name, arguments, return_hydra_config=True)
            with hydra_values(config), open_dict(config):
                hydra = config.pop("hydra")
                config.merge_with(_without_meaning(exact))
                checked = check(config, schema, exact)
                config.hydra = hydra
                return Composed(checked, Path(str(config.hydra.run.dir)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(unresolved_text(error, schema, arguments) or explain(error, schema)) from error
    except ConfigError as error:
        message = unresolved_text(error.__cause__, schema, arguments)
        if message is not None:
            raise ConfigError(message) from error
        raise


def command_config(name: str, schema: type[ConfigType], values: Mapping[str, Any]) -> ConfigType:
    """The config of a command that has no groups: the values of ``conf/NAME.yaml``, and then the given ones."""
    config = OmegaConf.load(config_directory() / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    del config["defaults"], config["hydra"]
    return check(config, schema, plain(values))


@contextmanager
def hydra_values(config: DictConfig) -> Iterator[None]:
    """Resolve ``${hydra:...}`` in configs from this config's node ``hydra`` within the context."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def hydra_overrides(overrides: Sequence[str], schema: type[Section]) -> list[str]:
    """Overrides in Hydra's grammar. Raises ConfigError for one that is not a text, or is an option."""
    return hydra_arguments([_override(override) for override in overrides], schema)


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """The values as overrides of the command line, for the record that a run keeps."""
    return [as_override(key, value) for key, value in flatten(plain(values)).items()]


def as_override(key: str, value: Any) -> str:
    """One value as an override of the command line."""
    return f"{key}={_override_text(value)}"


def plain(value: Any, key: str = "") -> Any:
    """The value in the types of YAML: paths as texts, tuples as lists, numbers of numpy as Python's.

    Raises ConfigError for a value of another type.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {_name(name, key): plain(content, f"{key}.{name}" if key else name) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [plain(content, key) for content in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist(), key)
    raise ConfigError(
        f"{key}: a config has no values of type {type(value).__name__}; "
        "give a text, a number, a truth value, None, a path, a list or a dictionary"
    )


def _name(name: Any, key: str) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"{key}: the key {name!r} is not a text; put quotes around it")
    return name


def _choices(overrides: Sequence[str], values: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The overrides that choose configs of groups, and the other values, nested where a key holds dots."""
    groups = {path.name for folder in _folders() for path in folder.iterdir() if path.is_dir()} - {"hydra"}
    chosen, others = [], dict[str, Any]()
    for key, value in values.items():
        if key in groups and not isinstance(value, dict):
            chosen.append(f"{key}={'null' if value is None else value}")
            continue
        if key in groups and (label := _label(key, value)) and not _is_chosen(key, overrides):
            chosen.append(f"{key}={label}")
        merge_into(others, _nested(key, value))
    return chosen, others


def _label(group: str, section: dict[str, Any]) -> str | None:
    """The config of a group that a dictionary names by its kind."""
    named = kind_of(section)
    if not isinstance(named, str) or "/" in named:
        return None
    return named if any((folder / group / f"{named}.yaml").is_file() for folder in _folders()) else None


def _folders() -> list[Path]:
    """The configs that come with textloom, and those of plugins."""
    return [config_directory(), *config_directories()]


def _is_chosen(group: str, overrides: Sequence[str]) -> bool:
    return any(str(override).lstrip("+").startswith(f"{group}=") for override in overrides)


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _override(override: Any) -> str:
    if not isinstance(override, str):
        raise ConfigError(f"{override!r}: is not an override; give a text such as 'model.units=256', or keywords")
    if override.startswith("-"):
        raise ConfigError(
            f"{one_line(override)}: an option of the command line; give overrides such as model.units=256"
        )
    return override


def _without_meaning(value: Any) -> Any:
    """The values with all texts escaped, so that OmegaConf reads no interpolation in them."""
    if isinstance(value, str):
        return "" if value == MISSING else without_interpolations(value)
    if isinstance(value, dict):
        return {key: _without_meaning(content) for key, content in value.items()}
    return [_without_meaning(content) for content in value] if isinstance(value, list) else value


def _override_text(value: Any) -> str:
    if isinstance(value, str):
        return as_value(value)
    if isinstance(value, list):
        return f"[{','.join(map(_override_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{as_value(key)}:{_override_text(content)}' for key, content in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Start Hydra afresh, one thread at a time, and restore the caller's Hydra, for example inside @hydra.main."""
    instances: dict[Any, Any] = Singleton._instances
    with _composing:
        before = {kind: instances.pop(kind) for kind in HYDRA_STATE if kind in instances}
        try:
            yield
        finally:
            for kind in HYDRA_STATE:
                instances.pop(kind, None)
            instances.update(before)
