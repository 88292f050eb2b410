"""The base class of all groups of the schema, common types of fields, and marks on them."""

import ast
import inspect
import sys
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]


def as_tuple(value: Any) -> Any:
    """A single text or number, or a list from YAML, as a tuple."""
    return (value,) if isinstance(value, str | int | float) else tuple(value) if isinstance(value, list) else value


class Mark(Enum):
    """Marks a text, for the command line."""

    PATH = "a path: a leading ~ stands for a home directory"
    PROSE = "prose: nothing in it is an interpolation"
    VERBATIM = "taken literally, even the word null"
    FOLDER = "the name of a folder"
    LIST = "a list: commas join its words, in sweeps too"


@dataclass(frozen=True)
class Unit:
    """Marks a number with its unit."""

    name: str


@dataclass(frozen=True)
class Entries:
    """Marks a mapping whose entries have a schema of their own."""

    schema: type[BaseModel]


PathText = Annotated[str, Mark.PATH]
Paths = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1), Mark.PATH]
Prose = Annotated[str, Mark.PROSE]

LONGEST_FILE_NAME = 255  # bytes, in the file systems of Linux, macOS and Windows


def folder_name(name: str) -> str:
    """Return the name. Raises ValueError if a folder cannot have it."""
    if "${" in name:
        raise ValueError("cannot hold ${, which Hydra reads as an interpolation; leave out the brace")
    if name.startswith("/") or {".", ".."} & set(name.split("/")):
        raise ValueError("not the name of a folder below outputs/; leave out the dots and the first /")
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_FILE_NAME for part in name.split("/")):
        raise ValueError(f"longer than the {LONGEST_FILE_NAME} bytes that a folder's name may have; shorten it")
    if "\0" in name:
        raise ValueError("holds a NUL character, which no folder's name may have; leave it out")
    return name


def possible_folder_name(name: str) -> str:
    """A similar name that a folder can have."""
    parts = [part for part in name.replace("${", "$").replace("\0", "").split("/") if part not in ("", ".", "..")]
    short = [part.encode()[:LONGEST_FILE_NAME].decode("utf-8", "ignore") for part in parts]
    return "/".join(short) or "run"


FolderName = Annotated[str, Field(min_length=1), AfterValidator(folder_name), Mark.FOLDER]


def lower(value: Any) -> Any:
    """Lower a text; any other value stays as it is."""
    return value.lower() if isinstance(value, str) else value


def as_whole(value: Any) -> Any:
    """A whole float as an int: YAML reads 1e6 as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Section(BaseModel):
    """Base class of all groups: frozen, no extra keys, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def description_of(cls, field: str) -> str:
        """The docstring below a field, in the class that defines it last; empty if there is none.

        pydantic's ``use_attribute_docstrings`` would read the source of every class at every start, for 60 ms.
        """
        owner = next(base for base in cls.__mro__ if field in vars(base).get("__annotations__", {}))
        return _docstrings(owner.__module__).get(owner.__name__, {}).get(field, "")


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """The docstrings below the fields of each class of a module; empty for a module without source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    return {node.name: _below_fields(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below_fields(definition: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, below in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                found[field.target.id] = inspect.cleandoc(text)
    return found
