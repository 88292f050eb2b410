"""The keys of a schema: the type of each, its meaning, and its effect on results."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from textloom.config.effects import Effect
from textloom.config.section import Entries, Mark, Section, Unit
from textloom.registry import OneOf

KIND_KEYS = ("kind", "level", "cell")
"""The keys that users type for the field ``kind``, which selects the model of a group; the last two are aliases."""


class Form(Enum):
    """The kind of value that a key takes, as far as the command line needs it."""

    TEXT = "text"
    TEXTS = "one text, or a list of them"
    MAPPING = "keys and values that the user chooses"
    GROUP = "the name of one of its configs"
    OTHER = "numbers, truth values and fixed words"


@dataclass(frozen=True)
class Key:
    """A dotted key of a schema."""

    name: str
    form: Form
    marks: frozenset[Mark]
    nullable: bool
    types: frozenset[Any]
    """Types of its values without None; the type of a fixed word is str."""
    field: FieldInfo
    model: type[BaseModel]
    """The config class of the key, where its field is called ``attribute``."""
    attribute: str
    effect: Effect = Effect.RESULTS
    entries: type[BaseModel] | None = None
    """The schema of a mapping's entries; None if it has none."""
    unit: str = ""
    """The unit of a number; empty if it has none."""
    words: tuple[str, ...] = ()
    """The fixed words among its values."""
    choices: tuple[str, ...] = ()
    """The choices of its group that have the key; empty if the group has one model."""

    @property
    def is_kind(self) -> bool:
        """True if the key selects the model of its group."""
        return self.name.rpartition(".")[2] in KIND_KEYS

    @property
    def description(self) -> str:
        """The field's docstring."""
        own = self.model.description_of(self.attribute) if issubclass(self.model, Section) else ""
        return self.field.description or own


def keys_of(schema: type[BaseModel]) -> dict[str, Key]:
    """All keys that a config of this schema may have, in the order of the schema."""
    found: dict[str, Key] = {}
    for key in walk_keys(schema):
        before = found.get(key.name)
        found[key.name] = key if before is None else _merged(before, key)
    return found


def known_keys(schema: type[BaseModel]) -> list[str]:
    """The dotted names of all keys, sorted."""
    return sorted(keys_of(schema))


def effects_of(schema: type[BaseModel]) -> dict[str, Effect]:
    """The effect of every key, entries of mappings that have a schema included."""
    effects: dict[str, Effect] = {}
    for key in keys_of(schema).values():
        effects[key.name] = key.effect
        if key.entries is not None:
            effects |= {f"{key.name}.{name}": entry.effect for name, entry in keys_of(key.entries).items()}
    return effects


def kind_of(section: Mapping[str, Any]) -> Any:
    """The value of ``kind`` in the values of a group as users type them; None if it is missing."""
    return next((section[key] for key in KIND_KEYS if key in section), None)


def is_entry(name: str, keys: dict[str, Key]) -> bool:
    """True if the dotted name is an entry of a mapping, whose keys the user chooses."""
    return any(key.form is Form.MAPPING and name.startswith(f"{key.name}.") for key in keys.values())


def walk_keys(
    schema: type[BaseModel], prefix: str = "", choices: tuple[str, ...] = (), outer: Effect = Effect.RESULTS
) -> Iterator[Key]:
    """The keys of every model of a schema: a key that several choices of a group have comes once for each."""
    for name, field in schema.model_fields.items():
        members = list(members_of(field.annotation, tuple(field.metadata)))
        metadata = [item for _, inner in members for item in inner]
        marks = frozenset(mark for mark in metadata if isinstance(mark, Mark))
        effect = next((mark for mark in metadata if isinstance(mark, Effect)), outer)
        unit = next((mark.name for mark in metadata if isinstance(mark, Unit)), "")
        entries = next((mark.schema for mark in metadata if isinstance(mark, Entries)), None)
        nullable = any(member is type(None) for member, _ in members)
        models = [member for member, _ in members if isinstance(member, type) and issubclass(member, BaseModel)]
        types_of_values = [member for member, _ in members if member is not type(None)]
        form = Form.GROUP if models else _form(types_of_values)
        plain = frozenset(kind for member in types_of_values for kind in _plain(member))
        words = tuple(word for member in types_of_values if get_origin(member) is Literal for word in get_args(member))
        typed = _typed_name(schema, name)
        of = (field, schema, name)
        yield Key(prefix + typed, form, marks, nullable, plain, *of, effect, entries, unit, words, choices)
        for model in models:
            inner = choices or _kinds(model) if len(models) > 1 else choices
            yield from walk_keys(model, f"{prefix}{typed}.", inner, effect)


def _typed_name(schema: type[BaseModel], name: str) -> str:
    """The name that users type for a field. ``field.alias`` has it only once a deferred schema is built."""
    generate = schema.model_config.get("alias_generator")
    return generate(name) if callable(generate) else name


def members_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The members of a union, each with its metadata."""
    if get_origin(annotation) is Annotated:
        first, *more = get_args(annotation)
        yield from members_of(first, (*metadata, *more))
    elif (one_of := next((mark for mark in metadata if isinstance(mark, OneOf)), None)) is not None:
        yield from ((choice, metadata) for choice in one_of.classes)
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from members_of(part, metadata)
    else:
        yield annotation, metadata


def _plain(member: Any) -> Iterator[Any]:
    """The types of a literal's values; any other type itself."""
    if get_origin(member) is Literal:
        yield from map(type, get_args(member))
    else:
        yield member


def _form(members: list[Any]) -> Form:
    if members == [str]:
        return Form.TEXT
    if members == [tuple[str, ...]]:
        return Form.TEXTS
    if members and all(get_origin(member) is dict for member in members):
        return Form.MAPPING
    return Form.OTHER


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of ``kind`` that select this model."""
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _merged(one: Key, other: Key) -> Key:
    """The key of two models that share its name: it takes the values of both."""
    forms = {one.form, other.form}
    form = next((form for form in (Form.TEXTS, Form.TEXT) if form in forms), one.form)
    return replace(
        one,
        form=form if Form.OTHER not in forms else Form.OTHER,
        marks=one.marks | other.marks,
        nullable=one.nullable or other.nullable,
        types=one.types | other.types,
        words=tuple(dict.fromkeys([*one.words, *other.words])),
        choices=tuple(dict.fromkeys([*one.choices, *other.choices])),
    )
