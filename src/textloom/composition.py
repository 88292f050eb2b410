"""From what the user typed to a checked config: Hydra composes, the schema checks, mistakes become one clear line."""

import difflib
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from textloom.config import Section
from textloom.errors import ConfigError

LABELS = ("kind", "level", "cell")  # the keys that say which of its models a group is
ConfigType = TypeVar("ConfigType", bound=Section)


def config_directory() -> Path:
    """Where the YAML groups lie: inside the installed package, or beside ``src/`` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def check(config: DictConfig | dict[str, Any], schema: type[ConfigType]) -> ConfigType:
    """The config as a frozen model. Raises ConfigError with one line for each mistake."""
    values = config
    if isinstance(config, DictConfig):
        may_miss = "data" in schema.model_fields  # elsewhere a prompt may be "???"
        missing = sorted(OmegaConf.missing_keys(config)) if may_miss else ()
        if missing:
            raise ConfigError("\n".join(_missing(key, config) for key in missing))
        try:
            values = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        except OmegaConfBaseException as error:
            raise ConfigError(_first_line(error)) from error
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = {_key_of(one["loc"], values): _describe(one, schema, values) for one in reversed(error.errors())}
        raise ConfigError("\n".join(reversed(lines.values()))) from error


def explain(error: HydraException | OmegaConfBaseException, schema: type[Section]) -> str:
    """What Hydra could not compose, in one line that names the key and the nearest right one."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        file = error.missing_cfg_file
        group, _, name = file.rpartition("/") if file.startswith("hydra/") else file.partition("/")
        options = sorted(option for option in error.options or ())
        label = f"{group}={name}" if group else f"config {name}"
        return f"{label}: there is no such config{nearest(name, options)}; choose one of {', '.join(options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; write it as key=value, in quotes where it holds special characters"
    if "Ambiguous value" in str(error):
        argument = re.search(r"argument '([^']+)'", str(error))
        return f"{argument[1] if argument else error}: several values; add -m to run each, or write a list as [a,b]"
    key = re.search(r"Could not (?:override|append to config\.?[^']*) '([^']+)'", str(error))
    if key:
        return _unknown_key(key[1].lstrip("+~"), schema)
    return _first_line(error)


# --- saying it ------------------------------------------------------------------------------------------------------


def _describe(details: ErrorDetails, schema: type[Section], values: Any) -> str:
    key = _key_of(details["loc"], values)
    given = details["input"]
    if details["type"] == "missing":
        return _missing(key, values)
    if details["type"] == "extra_forbidden":
        return _unknown_key(key, schema)
    if details["type"] == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return f"{key}.{message}" if key else message
    if details["type"] == "union_tag_invalid":
        label = details["ctx"]["discriminator"].strip("'")
        return f"{key}.{label}={details['ctx']['tag']}: must be one of {details['ctx']['expected_tags']}"
    message = details["msg"].replace("Input should be", "must be").replace("a valid integer", "a whole number")
    meaning = dict(_keys(schema)).get(key, "").rstrip(".")
    return f"{key}={given}: {message}" + (f" ({meaning})" if meaning else "")


def _missing(key: str, values: Any) -> str:
    group = key.partition(".")[0]
    section = values.get(group) if hasattr(values, "get") else None
    choice = next((section[label] for label in LABELS if label in section), None) if section else None
    if choice is not None and not key.endswith(".path"):
        return f"{key} is missing; choose the whole group as {group}={choice}"
    return f"{key} is missing; give it as {key}=VALUE"


def _key_of(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted key that an error's path means, without the labels of the branches in unions of models."""
    reached, key = values, []
    for part in location:
        if not isinstance(reached, dict):
            break
        if part not in reached and part in map(reached.get, LABELS):
            continue
        key.append(str(part))
        reached = reached.get(part)
    return ".".join(key)


def _unknown_key(key: str, schema: type[Section]) -> str:
    known = known_keys(schema)
    if key in known:
        return _key_of_another_choice(key)
    return f"{key}: there is no such key{nearest(key, known)}; see the keys with --cfg job"


def _key_of_another_choice(key: str) -> str:
    """A key that exists, but not in what was chosen for its group."""
    group, _, name = key.partition(".")
    files = sorted((config_directory() / group).glob("*.yaml"))
    choices = [f"{group}={path.stem}" for path in files if name.split(".")[0] in list(OmegaConf.load(path))]
    if not choices:
        return f"{key}: cannot be changed like this; write {key}=VALUE"
    return f"{key}: the chosen {group} has no such key; it belongs to {', '.join(choices)}"


def nearest(name: str, options: list[str]) -> str:
    """', did you mean X?', where an option is close to the name."""
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def known_keys(schema: type[Section]) -> list[str]:
    """Every dotted key that some config of this schema may have."""
    return sorted({path for path, _ in _keys(schema)})


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"units": 128}} -> {"model.units": 128}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


# --- walking the schema ---------------------------------------------------------------------------------------------


def _keys(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every (dotted key, description) of a schema and of the groups in it."""
    for name, field in schema.model_fields.items():
        yield prefix + name, field.description or ""
        for group in _models_in(field.annotation):
            yield from _keys(group, f"{prefix}{name}.")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for part in get_args(annotation):
            yield from _models_in(part)
