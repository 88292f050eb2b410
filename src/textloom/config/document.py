"""Write the reference of all keys, ``docs/keys.md``, from the schema: ``make docs-keys``."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from omegaconf import OmegaConf
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from textloom.config import (
    CompareConfig,
    Effect,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    InspectConfig,
    PlayConfig,
    PrepareConfig,
    ServeConfig,
    TrainConfig,
)
from textloom.config.checking import config_directory, flatten
from textloom.config.keys import Form, Key, members_of, walk_keys
from textloom.config.values import value_text

COMMANDS: dict[str, type[BaseModel]] = {
    "train": TrainConfig,
    "prepare": PrepareConfig,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
    "inspect": InspectConfig,
    "export": ExportConfig,
    "serve": ServeConfig,
    "play": PlayConfig,
}
INTRODUCTION = """# All keys

Written from the schema by `make docs-keys`; do not edit it by hand. A key is set as `KEY=VALUE` on the command line;
`textloom COMMAND --help` lists the keys of one command. The defaults are those of the files in `conf/`.

The column *results* says what another value of a key does:

| results | another value makes |
| --- | --- |
| yes | another training: another row of a comparison; a sweep and a resumed run refuse to mix the two |
| length | the same training, ended sooner or later: another row of a comparison, but a resumed run may change it |
| text | a training on another text, which a comparison recognises by its fingerprint |
| sample | the same training with other random numbers: another seed of the same row |
| no | the same results |
"""
RESULTS = {
    Effect.RESULTS: "yes",
    Effect.LENGTH: "length",
    Effect.DATA: "text",
    Effect.SEED: "sample",
    Effect.PAUSE: "no",
    Effect.PLACE: "no",
    Effect.NONE: "no",
}
SIGNS = {annotated_types.Gt: (">", "gt"), annotated_types.Ge: ("≥", "ge"), annotated_types.Lt: ("<", "lt"),
         annotated_types.Le: ("≤", "le")}  # fmt: skip
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null", dict: "mapping"}


def page() -> str:
    """The whole page in Markdown."""
    parts = [INTRODUCTION]
    for command, schema in COMMANDS.items():
        parts += [f"## {command}\n", *_sections(command, schema)]
    return "\n".join(parts)


def _sections(command: str, schema: type[BaseModel]) -> Iterator[str]:
    """The tables of a command: its own keys, then one for each group."""
    keys = [key for key in walk_keys(schema) if not key.is_kind]
    groups = [key.name for key in keys if key.form is Form.GROUP and _is_group_of_training(key)]
    own = [key for key in keys if key.name.partition(".")[0] not in groups and key.form is not Form.GROUP]
    with_effects = schema is TrainConfig
    if own:
        yield _table(own, {"": _file(config_directory() / f"{command}.yaml")}, with_effects)
    if schema is not TrainConfig:
        groups = [f"`{group}`" for group in groups]
        yield f"The groups {' and '.join(groups)} are those of `train`.\n" if groups else ""
        return
    for group in groups:
        defaults = _defaults(command, group)
        yield f"### {group}\n"
        if "" not in defaults:
            names = ", ".join(f"`{group}={name}`" for name in defaults)
            yield f"Chosen as a whole: {names}. A key with choices in brackets belongs to these alone.\n"
        yield _table([key for key in keys if key.name.startswith(f"{group}.")], defaults, with_effects)


def _is_group_of_training(key: Key) -> bool:
    field = TrainConfig.model_fields.get(key.name)
    return field is not None and field.annotation == key.field.annotation


def _defaults(command: str, group: str) -> dict[str, dict[str, Any]]:
    """Choice -> dotted key -> default; one choice without a name if the group has a single schema."""
    folder = config_directory() / group
    if not folder.is_dir():
        return {"": _file(config_directory() / f"{command}.yaml")}
    if (folder / "default.yaml").exists():
        return {"": _file(folder / "default.yaml", f"{group}.")}
    return {file.stem: _file(file, f"{group}.") for file in sorted(folder.glob("*.yaml"))}


def _file(file: Path, prefix: str = "") -> dict[str, Any]:
    """The values of a YAML file by their dotted keys; empty mappings included."""
    values: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(file))  # type: ignore[assignment]
    empty = {f"{prefix}{key}": value for key, value in values.items() if value == {}}
    return {**empty, **flatten(values, prefix)}


# --- one table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A key of some of the choices of its group."""

    name: str
    type: str
    unit: str
    effect: str
    meaning: str
    choices: tuple[str, ...]


def _table(keys: list[Key], defaults: dict[str, dict[str, Any]], with_effects: bool) -> str:
    rows: dict[tuple[str, ...], _Row] = {}
    for key in (entry for outer in keys for entry in _with_entries(outer)):
        meaning = " ".join(key.description.split())
        row = _Row(key.name, type_text(key.field), key.unit, RESULTS[key.effect], meaning, key.choices)
        same = (row.name, row.type, row.meaning)
        known = rows.get(same)
        rows[same] = row if known is None else replace(known, choices=tuple(dict.fromkeys(known.choices + row.choices)))
    titles = ["key", "type", "unit", "default", *(["results"] if with_effects else []), "meaning"]
    lines = [titles, ["---"] * len(titles)]
    every = {choice for row in rows.values() for choice in row.choices}
    for row in rows.values():
        only = "" if set(row.choices) == every else f" ({', '.join(row.choices)})"
        effect = [row.effect] if with_effects else []
        meaning = row.meaning.replace("*", "\\*").replace("<", "\\<")
        lines.append([f"`{row.name}`{only}", row.type, row.unit, _default(row, defaults), *effect, meaning])
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped) + "\n"


def _with_entries(key: Key) -> Iterator[Key]:
    """The key, and the keys of its entries if it is a mapping with a schema."""
    yield key
    if key.entries is not None:
        yield from (replace(entry, name=f"{key.name}.{entry.name}") for entry in walk_keys(key.entries))


def _default(row: _Row, defaults: dict[str, dict[str, Any]]) -> str:
    """The default, or that of each choice if they differ; empty for an entry of a mapping, which may be absent."""
    files = {name: values for name, values in defaults.items() if name == "" or name in (row.choices or defaults)}
    found = {name: values[row.name] for name, values in files.items() if row.name in values}
    texts = {name: _value(value) for name, value in found.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{name}: {text}" for name, text in texts.items())


def _value(value: Any) -> str:
    if value == "???":
        return "*required*"
    text = value_text(value)
    text = text if text.isprintable() else repr(text)
    return f"`` {text} ``" if "`" in text else f"`{text}`"


# --- types ----------------------------------------------------------------------------------------------------------


def type_text(field: FieldInfo) -> str:
    """The values that a field takes, in words."""
    texts = [_member_text(member, metadata) for member, metadata in members_of(field.annotation, tuple(field.metadata))]
    return " or ".join(dict.fromkeys(texts))


def _member_text(member: Any, metadata: tuple[Any, ...]) -> str:
    origin, arguments = get_origin(member), get_args(member)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin in (tuple, list):
        inner = " or ".join(dict.fromkeys(_member_text(*each) for each in members_of(arguments[0])))
        return f"{inner}, or a list"
    if isinstance(member, type) and issubclass(member, BaseModel):
        return "mapping"
    word = WORDS.get(origin or member, str(member))
    bounds = [*_bounds(metadata)] if member in (int, float) else []
    return " ".join([word, ", ".join(bounds)]).strip()


def _bounds(metadata: tuple[Any, ...]) -> Iterator[str]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _bounds(tuple(item.metadata))
        elif type(item) in SIGNS:
            sign, name = SIGNS[type(item)]
            yield f"{sign} {getattr(item, name)}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
