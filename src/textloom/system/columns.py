"""Texts in the columns of a terminal: Chinese, Japanese and Korean characters take two, combining marks none."""

import unicodedata

INVISIBLE = ("Mn", "Me", "Cf")  # categories of marks that are drawn on the character before, and of joiners


def column_count(text: str) -> int:
    """Number of columns that a text takes."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def padded(text: str, columns: int, right: bool = False) -> str:
    """The text with blanks after it, or before it, so that it takes at least this many columns."""
    blanks = " " * (columns - column_count(text))
    return blanks + text if right else text + blanks


def shortened(text: str, columns: int) -> str:
    """The text in at most this many columns, with an ellipsis in its middle: the ends of paths and keys say most."""
    printable = "".join(character if _is_shown(character) else " " for character in text)
    if column_count(printable) <= columns:
        return printable
    head = _beginning(printable, (columns - 1) // 2)
    tail = _beginning(printable[::-1], columns - 1 - column_count(head))[::-1]
    return f"{head}…{tail}"


def _beginning(text: str, columns: int) -> str:
    taken = 0
    for place, character in enumerate(text):
        taken += _columns_of(character)
        if taken > columns:
            return text[:place]
    return text


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("F", "W") else 1


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in "\u200c\u200d"  # joiners, which words of some scripts need
