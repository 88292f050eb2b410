"""Texts in the grammars of Hydra and of the shell."""

import re
import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

INTERPOLATION = re.compile(r"(?<!\\)\$\{[\w.@/]+(:[^{}]*)?\}")
QUOTED = re.compile(r"""\s*('(\\.|[^'\\])*'|"(\\.|[^"\\])*")\s*(?=,|\Z)""", re.DOTALL)
LIST = re.compile(r"\s*\[[^\]]*\]\s*(?=,|\Z)")
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""Characters that end a line, move the cursor or show nothing."""


def quoted(text: str, mark: str = "'") -> str:
    """The text in Hydra's quotes. It reads backslashes as escapes only before a quote and at the end."""
    escaped = re.sub(rf"(\\*)({mark}|\Z)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text)
    return f"{mark}{escaped}{mark}"


def unquoted(value: str) -> str:
    """The text of a value in Hydra's quotes; any other value as it is."""
    text = quoted_text(value)
    return value if text is None else text


def as_value(text: str) -> str:
    """The text as a value in Hydra's grammar, in quotes only if it would be read as something else without."""
    override = read_value(text)
    if override is None or override.is_sweep_override() or isinstance(override._value, QuotedString):
        return quoted(text)
    return text if override.value() == text else quoted(text)


def split_at_commas(value: str, lists: bool) -> list[str]:
    """Values between commas, of which those in quotes, ``${...}`` and, on request, lists hold commas of their own."""
    parts, place = [], 0
    while True:
        end = _end_of_value(value, place, lists)
        parts.append(value[place:end].strip())
        if end == len(value):
            return parts
        place = end + 1


def _end_of_value(value: str, start: int, lists: bool) -> int:
    whole = QUOTED.match(value, start) or (LIST.match(value, start) if lists else None)
    if whole is not None:
        return whole.end()
    place = start
    while place < len(value) and value[place] != ",":
        interpolation = INTERPOLATION.match(value, place)
        place = interpolation.end() if interpolation else place + 1
    return place


def without_interpolations(text: str) -> str:
    """The text with each ``${`` escaped: OmegaConf then reads the backslashes before it in pairs."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)


def read_value(value: str) -> Override | None:
    """A value as Hydra's grammar reads it; None if it cannot."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None


def quoted_text(value: str) -> str | None:
    """The text of a value that is wholly in Hydra's quotes."""
    override = read_value(value) if value[:1] in ("'", '"') else None
    content = None if override is None or override.is_sweep_override() else override._value
    return content.text if isinstance(content, QuotedString) else None


def one_line(text: str) -> str:
    """The text with line ends and other control characters as escapes, for a message."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1] if found[0] < "\x80" else f"\\u{ord(found[0]):04x}", text)


def shell_quoted(argument: str) -> str:
    """The argument in the shell's quotes, on one line: with control characters in those of bash and zsh."""
    if not CONTROL.search(argument):
        return shlex.quote(argument)
    escaped = argument.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{one_line(escaped)}'"
