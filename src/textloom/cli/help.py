"""The texts of ``--help`` and ``--version``, from the template in ``conf/NAME.yaml`` and the keys of the schema."""

import importlib.metadata
import re
import shutil
import string
import textwrap
from collections.abc import Callable, Iterable, Iterator

from omegaconf import OmegaConf
from pydantic import BaseModel

from textloom.config.checking import config_directory
from textloom.config.keys import Form, Key, keys_of
from textloom.system.command_hint import as_commands

NARROWEST, WIDEST = 60, 100  # columns
KEY_COLUMN = 26
TITLE = "textloom trains recurrent language models, and generates text with them."


def version() -> str:
    """The name and the installed version."""
    try:
        return f"textloom {importlib.metadata.version('textloom')}"
    except importlib.metadata.PackageNotFoundError:
        return "textloom, from a checkout that is not installed"


def overview(commands: Iterable[Callable[..., None]]) -> str:
    """All commands, each with the first line of its docstring."""
    width = _width()
    lines = [
        line
        for command in commands
        for line in textwrap.wrap(
            f"  {command.__name__:10}{(command.__doc__ or '').splitlines()[0]}", width, subsequent_indent=" " * 12
        )
    ]
    usage = "textloom COMMAND KEY=VALUE ...\ntextloom COMMAND --help      the keys of a command\ntextloom --version"
    return "\n".join([TITLE, "", *lines, "", usage])


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def help_text(name: str, schema: type[BaseModel]) -> str:
    """The help of a command. Hydra's own help composes the config once for each group, which takes seconds."""
    template = OmegaConf.load(config_directory() / f"{name}.yaml").hydra.help.template
    groups = [folder for folder in sorted(config_directory().iterdir()) if folder.is_dir() and folder.name != "hydra"]
    width = _width()
    choices = [f"  {group.name}: {', '.join(sorted(path.stem for path in group.glob('*.yaml')))}" for group in groups]
    wrapped = [line for choice in choices for line in textwrap.wrap(choice, width, subsequent_indent="    ")]
    usage = as_commands(string.Template(template).substitute(APP_CONFIG_GROUPS="\n".join([*wrapped, ""])))
    return "\n".join([usage, "Keys:", "", *_key_lines(schema, width)])


def _key_lines(schema: type[BaseModel], width: int) -> Iterator[str]:
    """A line for each key, wrapped to the width, under the name of its group."""
    keys = keys_of(schema)
    choices: dict[str, set[str]] = {}
    for key in keys.values():
        choices.setdefault(key.name.partition(".")[0], set()).update(key.choices)
    heading = None
    own = [key for key in keys.values() if "." not in key.name and key.form is not Form.GROUP]
    others = [key for key in keys.values() if "." in key.name and key.form is not Form.GROUP]
    for key in [*own, *others]:
        group, _, name = key.name.partition(".")
        if not name:
            group, name = "", group
        if group != heading:
            heading = group
            if group:
                yield f"  {group}."
        if not key.is_kind:
            everywhere = set(key.choices) == choices.get(group, set())
            yield from _key_line(name, key, () if everywhere else key.choices, width)


def _key_line(name: str, key: Key, choices: tuple[str, ...], width: int) -> list[str]:
    """A key, its meaning, its fixed words, and the choices of its group that have it, unless all have it."""
    words = f" [{', '.join(key.words)}]" if key.words else ""
    only = f" ({', '.join(choices)} only)" if choices else ""
    margin = " " * (KEY_COLUMN + 4)
    text = _first_sentence(key.description) + words + only
    lines = textwrap.wrap(text, width, initial_indent=margin, subsequent_indent=margin)
    if len(name) < KEY_COLUMN:
        return [f"    {name:{KEY_COLUMN}}{lines[0].lstrip()}", *lines[1:]]
    return [f"    {name}", *lines]


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0].rstrip(".")
