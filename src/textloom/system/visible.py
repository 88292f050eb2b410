"""Generated text for people to look at: control characters are shown, and do nothing."""

import sys

PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}  # ESC is shown as ␛
PICTURES |= {0x7F: "\u2421"} | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}


def visible(text: str) -> str:
    """The text with a sign in the place of each control character but line ends and tabs.

    A model that was trained on logs writes escape sequences, which would recolour or clear a terminal.
    """
    return text.translate(PICTURES)


def for_stdout(text: str) -> str:
    """The text as it is for a file or another program, and with its control characters shown on a terminal."""
    return visible(text) if sys.stdout.isatty() else text
