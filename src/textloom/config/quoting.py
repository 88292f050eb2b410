"""Quoting of texts for Hydra's grammar and for the shell."""

import re
import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

INTERPOLATION = re.compile(r"(?<!\\)\$\{[\w.@/]+(:[^{}]*)?\}")
QUOTED = re.compile(r"""\s*('(\\.|[^'\\])*'|"(\\.|[^"\\])*")\s*(?=,|\Z)""", re.DOTALL)
LIST = re.compile(r"\s*\[[^\]]*\]\s*(?=,|\Z)")
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""Line ends and other control characters."""


def quoted(text: str, mark: str = "'") -> str:
    """The text in Hydra's quotes, where a backslash is an escape only before a quote and at the end."""
    escaped = re.sub(rf"(\\*)({mark}|\Z)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text)
    return f"{mark}{escaped}{mark}"


def unquoted(value: str) -> str:
    """The text of a quoted value; any other value unchanged."""
    text = quoted_text(value)
    return value if text is None else text


def as_value(text: str) -> str:
    """The text as a value in Hydra's grammar, quoted only if needed."""
    override = read_value(text)
    if override is None or override.is_sweep_override() or isinstance(override._value, QuotedString):
        return quoted(text)
    return text if override.value() == text else quoted(text)


def split_at_commas(value: str, lists: bool) -> list[str]:
    """Split at commas, except inside quotes and ``${...}``, and inside lists if ``lists`` is true."""
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
    """The text with every ``${`` escaped, and the backslashes before it doubled, as OmegaConf requires."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)


def read_value(value: str) -> Override | None:
    """The value as parsed by Hydra's grammar; None if it does not parse."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None


def quoted_text(value: str) -> str | None:
    """The text of a quoted value; None for any other value."""
    override = read_value(value) if value[:1] in ("'", '"') else None
    content = None if override is None or override.is_sweep_override() else override._value
    return content.text if isinstance(content, QuotedString) else None


def one_line(text: str) -> str:
    """The text with control characters, line ends included, as escape sequences."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1] if found[0] < "\x80" else f"\\u{ord(found[0]):04x}", text)


def shell_quoted(argument: str) -> str:
    """The argument quoted for the shell, on one line; control characters need the quotes of bash and zsh."""
    if not CONTROL.search(argument):
        return shlex.quote(argument)
    escaped = argument.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{one_line(escaped)}'"
