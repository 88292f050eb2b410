"""What all groups of the schema share."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]


def as_tuple(value: Any) -> Any:
    """One value, or YAML's list of them, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]


def lower(value: Any) -> Any:
    """A name in any case."""
    return value.lower() if isinstance(value, str) else value


def as_whole(value: Any) -> Any:
    """1e6 is how one writes a million, and YAML reads it as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Section(BaseModel):
    """What all groups share: frozen, no extra keys, and no silent conversion of one type into another."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
