"""Config values as text."""

from typing import Any


def value_text(value: Any) -> str:
    """A config value in the syntax of the command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{value_text(content)}' for key, content in value.items())}}}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
