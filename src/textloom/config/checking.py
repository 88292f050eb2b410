"""Check a composed config against its schema, and explain each mistake in one line."""

import os
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from textloom.config import Section
from textloom.config.keys import KIND_KEYS, keys_of, kind_of, known_keys
from textloom.config.paths import is_table, with_home
from textloom.config.quoting import one_line
from textloom.config.section import Mark
from textloom.config.suggestions import nearest, nearest_key
from textloom.errors import ConfigError

ConfigType = TypeVar("ConfigType", bound=Section)


def config_directory() -> Path:
    """The directory of the YAML groups: in the installed package, or beside ``src/`` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def check(
    config: DictConfig | dict[str, Any], schema: type[ConfigType], exact: dict[str, Any] | None = None
) -> ConfigType:
    """The config as a frozen model. Raises ConfigError with one line for each mistake.

    ``exact`` values take the place of the config's once that is resolved: nothing in them is an interpolation.
    """
    values = config
    if isinstance(config, DictConfig):
        may_miss = "data" in schema.model_fields  # elsewhere a prompt may be "???"
        try:
            missing = sorted(OmegaConf.missing_keys(config)) if may_miss else ()
            if missing:
                raise ConfigError("\n".join(_missing(key, config) for key in missing))
            values = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        except OmegaConfBaseException as error:
            key = f"{error.full_key}: " if error.full_key else ""
            raise ConfigError(f"{key}{_first_line(error)}; in a text write \\${{ for ${{") from error
    merge_into(values, exact or {})
    _expand_home(values, schema, strict=isinstance(config, DictConfig))
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = {_key_of(one["loc"], values): _describe(one, schema, values) for one in reversed(error.errors())}
        raise ConfigError("\n".join(reversed(lines.values()))) from error


def _expand_home(values: Any, schema: type[Section], strict: bool) -> None:
    """Expand a leading ``~`` in every path; unless ``strict``, an unknown home directory stays as it is."""
    for key in keys_of(schema).values():
        if Mark.PATH not in key.marks:
            continue
        *groups, name = key.name.split(".")
        section = values
        for group in groups:
            section = section.get(group) if isinstance(section, dict) else None
        given = section.get(name) if isinstance(section, dict) else None
        expand = partial(with_home, key=key.name) if strict else os.path.expanduser
        if isinstance(given, str):
            section[name] = expand(given)
        elif isinstance(given, list):
            section[name] = [expand(path) if isinstance(path, str) else path for path in given]


def explain(error: HydraException | OmegaConfBaseException, schema: type[Section]) -> str:
    """Explain an error of Hydra in one line that names the key and the nearest one that exists."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_config(error.missing_cfg_file, sorted(error.options or ()))
    if isinstance(error, OverrideParseException):
        return _unreadable(one_line(str(error.override)), schema)
    if "Ambiguous value" in str(error):
        argument = re.search(r"argument '([^']+)'", str(error))
        return _several_values(argument[1] if argument else str(error), schema)
    key = re.search(r"Could not (?:override|append to config\.?[^']*) '([^']+)'", str(error))
    if key:
        return _unknown_key(key[1].lstrip("+~"), schema)
    return _first_line(error)


# --- messages about arguments ---------------------------------------------------------------------------------------


def _missing_config(file: str, options: list[str]) -> str:
    """The message for ``group/name`` without such a config, or for the name of a whole config."""
    group, slash, name = file.rpartition("/") if file.startswith("hydra/") else file.partition("/")
    if not slash:
        return f"--config-name={file}: there is no such config; leave it out, or name its directory with --config-dir"
    cure = f"choose one of {', '.join(options)}"
    if name.startswith("submitit"):
        cure = "pip install 'textloom[slurm]'"
    elif group == "data" and (os.path.exists(name) or os.path.splitext(name)[1]):
        cure = f"a file needs its kind: type {_data_arguments(name)}"
    return f"{group}={name}: there is no such config{nearest(name, options)}; {cure}"


def _unreadable(typed: str, schema: type[Section]) -> str:
    name = typed.partition("=")[0].lstrip("+~")
    if "=" in typed and not re.fullmatch(r"[\w$@./:-]+", name, re.ASCII):
        return _unknown_key(name, schema)
    path = typed.replace("'", "")
    if os.path.exists(path):
        of_runs = next((f"{name}={shlex.quote(path)}" for name in ("run", "runs") if name in schema.model_fields), "")
        return f"{path}: a path needs its key; type {of_runs or _data_arguments(path)}"
    if "prompt" in schema.model_fields and "=" not in typed:
        return f"{typed}: a prompt needs its key; type prompt={shlex.quote(typed)}"
    return f"{typed}: cannot be read; write it as key=value, in quotes where it holds special characters"


def _several_values(typed: str, schema: type[Section]) -> str:
    each = "add -m to run each" if "sweep" in schema.model_fields else "give one"
    number = re.fullmatch(r"([^=]*)=(-?\d+),(\d+)", typed)
    key = keys_of(schema).get(number[1]) if number else None
    if number and key is not None and float in key.types:
        return f"{typed}: several values; a number has a decimal point, as in {number[2]}.{number[3]}; or {each}"
    return f"{typed}: several values; {each}, or write a list as [a,b]"


def _data_arguments(path: str) -> str:
    """The arguments that read a file, which is called a table by its name, or else a text."""
    kind = "table" if is_table(path) else "text_files"
    return f"data={kind} data.path={shlex.quote(path)}"


# --- messages about values ------------------------------------------------------------------------------------------


def _describe(details: ErrorDetails, schema: type[Section], values: Any) -> str:
    key = _key_of(details["loc"], values)
    given = details["input"]
    if details["type"] == "missing":
        return _missing(key, values)
    if details["type"] == "extra_forbidden":
        return _unknown_key(key, schema)
    if details["type"] == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        if not isinstance(given, dict):
            return f"{key}={one_line(str(given))}: {message}"
        return f"{key}.{message}" if key else message
    if details["type"] == "union_tag_invalid":
        label = details["ctx"]["discriminator"].strip("'")
        return f"{key}.{label}={details['ctx']['tag']}: must be one of {details['ctx']['expected_tags']}"
    if details["type"] == "string_type" and isinstance(given, bool | int | float):
        return _no_text(key, given)
    message = details["msg"].replace("Input should be", "must be").replace("a valid integer", "a whole number")
    message = message.replace("a valid boolean", "true or false").replace("a valid number", "a number")
    if details["type"] in ("string_too_short", "too_short"):
        message = "must not be empty"
    described = keys[key].description if key in (keys := keys_of(schema)) else ""
    meaning = " ".join(described.partition("\n\n")[0].split()).rstrip(".")  # the first paragraph, as one line
    shown = "null" if given is None else one_line(str(given))
    return f"{key}={shown}: {message}" + (f" ({meaning})" if meaning else "")


def _no_text(key: str, given: bool | int | float) -> str:
    """The message for a text that YAML has read as another type."""
    name = key.rpartition(".")[2]
    if isinstance(given, bool):
        return (
            f"{key}={str(given).lower()}: must be a text, and YAML reads yes, no, on, off, true and false as truth "
            f"values; put quotes around it in the file, as in {name}: '{'yes' if given else 'no'}'"
        )
    reason = "must be a text, and YAML reads a number; put quotes around it in the file"
    return f"{key}={given}: {reason}, as in {name}: '{given}'"


def _missing(key: str, values: Any) -> str:
    group = key.partition(".")[0]
    section = values.get(group) if hasattr(values, "get") else None
    choice = kind_of(section) if section else None
    if choice is not None and not key.endswith(".path"):
        return f"{key} is missing; choose the whole group as {group}={choice}"
    return f"{key} is missing; give it as {key}=VALUE"


def _key_of(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted key of an error's location, without the labels of the members of unions."""
    reached, key = values, []
    for part in location:
        if not isinstance(reached, dict):
            break
        if part not in reached and part in map(reached.get, KIND_KEYS):
            continue
        key.append(str(part))
        reached = reached.get(part)
    return ".".join(key)


def _unknown_key(key: str, schema: type[Section]) -> str:
    known = known_keys(schema)
    if key in known:
        return _key_of_another_choice(key)
    return f"{key}: there is no such key{nearest_key(key, known)}; see the keys with --help"


def _key_of_another_choice(key: str) -> str:
    """The message for a key that exists, but not in the chosen config of its group."""
    group, _, name = key.partition(".")
    files = sorted((config_directory() / group).glob("*.yaml"))
    choices = [f"{group}={path.stem}" for path in files if name.split(".")[0] in list(OmegaConf.load(path))]
    if not choices:
        return f"{key}: cannot be changed like this; write {key}=VALUE"
    return f"{key}: the chosen {group} has no such key; it belongs to {', '.join(choices)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def merge_into(tree: Any, values: dict[str, Any]) -> None:
    """Set values in a tree of dictionaries; dictionaries are merged key by key."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge_into(tree[key], value)
        else:
            tree[key] = value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"units": 128}} -> {"model.units": 128}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
