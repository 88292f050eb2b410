"""Translation of arguments into Hydra's grammar, so that texts reach the config unchanged.

Hydra's grammar gives many characters a meaning. The schema says which keys take a text, and the value of such a key is
taken literally, except for

* ``null``, if the key may be null;
* a value in one pair of quotes, which Hydra removes;
* ``[a,b]``, if the key takes a list;
* ``${key}`` and ``${resolver:...}``, which Hydra resolves, except in prose (prompts, queries, templates);
* with ``-m``, commas between values, and Hydra's sweeps such as ``choice(a,b)``.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from omegaconf.errors import GrammarParseError, InterpolationResolutionError
from pydantic import BaseModel

from textloom.config.checking import config_directory
from textloom.config.keys import Form, Key, keys_of
from textloom.config.paths import with_home
from textloom.config.quoting import (
    INTERPOLATION,
    as_value,
    one_line,
    quoted,
    quoted_text,
    read_value,
    shell_quoted,
    split_at_commas,
    unquoted,
    without_interpolations,
)
from textloom.config.section import Mark, folder_name, possible_folder_name
from textloom.errors import ConfigError

HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir")
"""Hydra's own keys that take a path."""
CONFIG_DIRECTORY = ("--config-dir", "-cd")
SWEEP_OPTIONS = frozenset(["-m", "--multirun"])
FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag|str|int|float|bool|json_str|extend_list)\(.*\)")
BRACKETS = {"[": "]", "{": "}"}
LEAF = re.compile(r"""'[^']*'|"[^"]*"|[^][{},:'"]+""")


@dataclass(frozen=True)
class Arguments:
    """The translation of the arguments of one command."""

    keys: dict[str, Key]
    multirun: bool

    @classmethod
    def of(cls, schema: type[BaseModel], multirun: bool) -> "Arguments":
        """The translation for the command with this schema."""
        return cls(keys_of(schema), multirun)

    def takes_text(self, key: str) -> bool:
        """True if the values of the key are texts."""
        return key in self.keys and self.keys[key].form in (Form.TEXT, Form.TEXTS)

    def hydra(self, argument: str) -> str:
        """The argument in Hydra's grammar. Raises ConfigError if the key cannot have the value."""
        if argument.startswith("--config-dir="):
            option, _, value = argument.partition("=")
            return f"{option}={with_home(value, option)}"
        name, separator, value = argument.partition("=")
        if not separator or name.startswith("-"):
            return argument
        plain = name.lstrip("+")
        key = self.keys.get(plain)
        if key is None and any(plain.startswith(f"{mapping}.") for mapping in self._mappings()):
            return f"++{plain}={_open_value(plain, value)}"  # any key is new there
        if plain in HYDRA_PATHS:
            return f"{name}={_text(with_home(value, plain))}"
        if not plain:
            raise ConfigError(f"{argument}: cannot be read; write it as key=value, without spaces around =")
        if key is None or key.form is Form.GROUP:
            return f"{name}={_choice(value)}"
        if "." not in plain and not key.field.is_required() and plain not in _keys_of_commands():
            name = f"++{plain}"  # Hydra otherwise refuses a key whose default is only in the schema
        if key.form is Form.MAPPING:
            return f"++{plain}={_open_value(plain, value)}"  # as above: its keys may be new
        if Mark.LIST in key.marks and value[:1] not in BRACKETS:
            return f"{name}={as_value(unquoted(value))}"
        if key.form is Form.OTHER:
            return f"{name}={_other_value(value)}"
        if not value:
            return f"{name}="
        if self.multirun and not plain.startswith("sweep."):
            return f"{name}={self._sweep(key, value)}"
        return f"{name}={self._value(key, value)}"

    def _sweep(self, key: Key, value: str) -> str:
        """One or several values of a key that takes a text."""
        if FUNCTION.fullmatch(value) and read_value(value) is not None:
            return value
        return ",".join(self._value(key, part) for part in split_at_commas(value, key.form is Form.TEXTS))

    def _value(self, key: Key, value: str) -> str:
        """One value of a key that takes a text, or a list of values."""
        if value == "null" and key.nullable and Mark.VERBATIM not in key.marks:
            return value
        text = quoted_text(value)
        if text is not None:
            self._refuse_impossible_folder(key, text)
            return value
        if key.form is Form.TEXTS and value.startswith("[") and value.endswith("]"):
            parts = split_at_commas(value[1:-1], False) if value != "[]" else []
            return f"[{','.join(self._value(key, part.strip()) for part in parts)}]"
        literal = Mark.PROSE in key.marks or not INTERPOLATION.search(value)
        self._refuse_impossible_folder(key, value)
        return _text(value, literal)

    @staticmethod
    def _refuse_impossible_folder(key: Key, text: str) -> None:
        """Raises ConfigError for a name that no folder can have: Hydra creates it before the config is checked."""
        if text and Mark.FOLDER in key.marks and not INTERPOLATION.search(text):
            try:
                folder_name(text)
            except ValueError as error:
                cure = shell_quoted(f"{key.name}={possible_folder_name(text)}")
                raise ConfigError(f"{one_line(f'{key.name}={text}')}: {error}, as in {cure}") from error

    def _mappings(self) -> Iterable[str]:
        return (key.name for key in self.keys.values() if key.form is Form.MAPPING)


def hydra_arguments(arguments: list[str], schema: type[BaseModel]) -> list[str]:
    """The arguments of a command in Hydra's grammar.

    Raises ConfigError for an argument that is not UTF-8, and for a home directory or a folder that cannot exist.
    """
    reading = Arguments.of(schema, bool(SWEEP_OPTIONS & set(arguments)))
    decoded = [_decoded(argument, reading) for argument in arguments]
    for before, argument in pairwise(decoded):
        is_word = "=" not in argument and not argument.startswith(("-", "~")) and argument not in reading.keys
        if is_word and before.endswith("=") and before != "=":
            raise ConfigError(
                f"{before} {one_line(argument)}: cannot be read; write {before}{argument} without a blank"
            )
        if is_word and reading.takes_text(before.partition("=")[0]):
            whole = shell_quoted(f"{before} {argument}")
            raise ConfigError(f"{one_line(argument)}: cannot be read; a text with blanks needs quotes, as in {whole}")
    following = ["", *decoded]
    return [
        with_home(argument, option) if option in CONFIG_DIRECTORY else reading.hydra(argument)
        for option, argument in zip(following, decoded, strict=False)
    ]


def unresolved(arguments: list[str], schema: type[BaseModel]) -> tuple[str, str] | None:
    """The first argument whose text has an interpolation, and the same argument with the text taken literally."""
    keys = keys_of(schema)
    for argument in arguments:
        name, _, value = argument.partition("=")
        key, text = keys.get(name.lstrip("+")), unquoted(value)
        if key is not None and key.form in (Form.TEXT, Form.TEXTS) and INTERPOLATION.search(text):
            plain = (
                possible_folder_name(text) if Mark.FOLDER in key.marks else quoted(without_interpolations(text), '"')
            )
            return one_line(f"{name}={text}"), shell_quoted(f"{name}={plain}")
    return None


def unresolved_text(error: BaseException | None, schema: type[BaseModel], arguments: Sequence[str]) -> str | None:
    """The cure if an argument is a text with an interpolation that cannot be resolved; None otherwise."""
    text = unresolved(list(arguments), schema)
    if text is None or not isinstance(error, InterpolationResolutionError | GrammarParseError):
        return None
    reason = str(error).strip().partition("\n")[0]
    return f"{text[0]}: {reason}; if it is not an interpolation, type {text[1]}"


def _decoded(argument: str, reading: Arguments) -> str:
    """The argument decoded as UTF-8; Python decoded it in the encoding of the locale."""
    try:
        argument.encode("utf-8")
        return argument
    except UnicodeEncodeError:
        pass
    raw = os.fsencode(argument)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = one_line(raw.decode("utf-8", "backslashreplace"))
        key = reading.keys.get(argument.partition("=")[0])
        file = ", or name the file by a pattern such as '*.txt'" if key is not None and Mark.PATH in key.marks else ""
        raise ConfigError(
            f"{shown}: not UTF-8 at byte {error.start + 1}; type it in a UTF-8 terminal, or convert it with "
            f"iconv -t UTF-8{file}"
        ) from error


def _text(value: str, literal: bool = False) -> str:
    return as_value(without_interpolations(value) if literal else value)


@cache
def _keys_of_commands() -> frozenset[str]:
    """The keys at the top level of the commands' YAML files."""
    files = config_directory().glob("*.yaml")
    return frozenset(key for path in files for key in re.findall(r"^(\w+):", path.read_text("utf-8"), re.MULTILINE))


def _open_value(key: str, value: str) -> str:
    """A value of a mapping whose keys the user chooses, in Hydra's grammar, with quotes around texts that need them."""
    if read_value(value) is not None:
        return value
    if value[:1] in BRACKETS and value.endswith(BRACKETS[value[0]]):
        requoted = LEAF.sub(lambda found: _leaf(found[0]), value)
        if read_value(requoted) is not None:
            return requoted
        raise ConfigError(
            f"{key}={one_line(value)}: cannot be read; put the texts in it in quotes: {key}=\"{{name:'a, b'}}\""
        )
    return quoted(value)


def _leaf(text: str) -> str:
    text = text.strip()
    return text if not text or read_value(text) is not None else quoted(text)


def _choice(value: str) -> str:
    """The name of a config, or the value of an unknown key, quoted if needed so that Hydra reports it as unknown."""
    override = read_value(value)
    if override is not None and (override.is_sweep_override() or not isinstance(override._value, int | float)):
        return value
    return quoted(value)


def _other_value(value: str) -> str:
    """A number, a truth value or a fixed word; other texts are quoted, so that the error names the allowed values."""
    structured = value[:1] in BRACKETS or re.match(r"\w+\(", value)
    return value if structured or read_value(value) is not None else quoted(value)
