"""The keys of a schema, for the command line: which are text, which are paths, and what each one means."""

import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from textloom.config.section import Mark
from textloom.registry import OneOf

LABELS = ("kind", "level", "cell")
"""The keys that say which of its models a group is."""


class Form(Enum):
    """What a key takes, as far as the command line has to know."""

    TEXT = "text"
    TEXTS = "one text, or a list of them"
    MAPPING = "keys and values of the user's own"
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
    """Of its values, None left out; a fixed word counts as text, a list or a mapping as itself."""
    field: FieldInfo
    words: tuple[str, ...] = ()
    """The fixed words that it takes."""
    choices: tuple[str, ...] = ()
    """Of a group that is one of several models: those that have the key."""

    @property
    def description(self) -> str:
        """The field's docstring."""
        return self.field.description or ""


def keys_of(schema: type[BaseModel]) -> dict[str, Key]:
    """Every key that some config of this schema may have, in the order of the schema."""
    found: dict[str, Key] = {}
    for key in _walk(schema, "", ()):
        before = found.get(key.name)
        found[key.name] = key if before is None else _merged(before, key)
    return found


def known_keys(schema: type[BaseModel]) -> list[str]:
    """The dotted names of all keys, sorted."""
    return sorted(keys_of(schema))


def _walk(schema: type[BaseModel], prefix: str, choices: tuple[str, ...]) -> Iterator[Key]:
    for name, field in schema.model_fields.items():
        members = list(_members(field.annotation, tuple(field.metadata)))
        marks = frozenset(mark for _, metadata in members for mark in metadata if isinstance(mark, Mark))
        nullable = any(member is type(None) for member, _ in members)
        models = [member for member, _ in members if isinstance(member, type) and issubclass(member, BaseModel)]
        types_of_values = [member for member, _ in members if member is not type(None)]
        form = Form.GROUP if models else _form(types_of_values)
        plain = frozenset(kind for member in types_of_values for kind in _plain(member))
        words = tuple(word for member in types_of_values if get_origin(member) is Literal for word in get_args(member))
        name = field.alias or name  # as it is typed
        yield Key(prefix + name, form, marks, nullable, plain, field, words, choices)
        for model in models:
            yield from _walk(model, f"{prefix}{name}.", choices or _labels(model) if len(models) > 1 else choices)


def _members(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The alternatives of an annotation, each with what it is annotated with."""
    if get_origin(annotation) is Annotated:
        first, *more = get_args(annotation)
        yield from _members(first, (*metadata, *more))
    elif (one_of := next((mark for mark in metadata if isinstance(mark, OneOf)), None)) is not None:
        yield from ((choice, metadata) for choice in one_of.classes)
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _members(part, metadata)
    else:
        yield annotation, metadata


def _plain(member: Any) -> Iterator[Any]:
    """The types of a fixed word's values; any other type as it is."""
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


def _labels(model: type[BaseModel]) -> tuple[str, ...]:
    """The values by which a group's config says that it is this model."""
    for label in LABELS:
        field = model.model_fields.get(label)
        if field is not None and get_origin(field.annotation) is Literal:
            return get_args(field.annotation)
    return ()


def _merged(one: Key, other: Key) -> Key:
    """One key of two models: it takes whatever either of them takes."""
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
