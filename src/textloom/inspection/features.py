"""Features of a text that a unit may track: one number for each token, as of its last character."""

from collections.abc import Callable, Iterable

import numpy as np
import regex

from textloom.inspection.text import InspectedText, last_characters

QUOTES = frozenset('"“”„‟«»″')
OPENING, CLOSING = frozenset("([{"), frozenset(")]}")
LETTER = regex.compile(r"[\p{L}\p{M}\p{N}]")
BLANK_LINE = "\n\n"


def text_features(text: InspectedText) -> dict[str, np.ndarray]:
    """The features of each token by their names, (tokens,) float32 each."""
    whole = "".join(text.pieces)
    last = last_characters(text.pieces)
    begins = {int(last[begin - 1]) + 1 for begin in text.boundaries[1:-1]}  # characters that begin documents
    by_character = {
        "inside quotation marks": _inside_quotes(whole, begins),
        "inside brackets": _inside_brackets(whole, begins),
        "position in the line": _position_in_line(whole, begins),
        "inside a word": _inside_word(whole),
        "end of a word": _end_of_word(whole),
    }
    features = {name: np.append(values, 0.0)[last].astype(np.float32) for name, values in by_character.items()}
    features["position in the document"] = text.positions.astype(np.float32)
    features["capital letters"] = np.array([any(map(str.isupper, piece)) for piece in text.pieces], dtype=np.float32)
    return features


def _inside_quotes(text: str, begins: Iterable[int]) -> np.ndarray:
    """1 between quotation marks; every mark opens or closes, as in English, French and German alike."""
    return _depth(text, begins, lambda character, depth: 1 - depth if character in QUOTES else depth)


def _inside_brackets(text: str, begins: Iterable[int]) -> np.ndarray:
    """1 inside round, square or curly brackets, however deep."""

    def after(character: str, depth: int) -> int:
        return max(0, depth + (character in OPENING) - (character in CLOSING))

    inside: np.ndarray = np.minimum(_depth(text, begins, after), 1)
    return inside


def _depth(text: str, begins: Iterable[int], after: Callable[[str, int], int]) -> np.ndarray:
    """The depth after each character; 0 after a blank line and where a document begins, or one slip would spread."""
    starts, depth = set(begins), 0
    depths = np.zeros(len(text), dtype=np.int64)
    for place, character in enumerate(text):
        if place in starts or text[max(0, place - 1) : place + 1] == BLANK_LINE:
            depth = 0
        depth = after(character, depth)
        depths[place] = depth
    return depths


def _position_in_line(text: str, begins: Iterable[int]) -> np.ndarray:
    """Characters since the line end before; all 0 for a text without line ends."""
    if "\n" not in text:
        return np.zeros(len(text), dtype=np.int64)
    numbers = np.arange(len(text))
    ends = np.array([character == "\n" for character in text])
    line_starts = np.where(ends, numbers, -1)
    for begin in begins:
        if begin < len(text):
            line_starts[begin] = max(line_starts[begin], begin - 1)
    positions: np.ndarray = numbers - np.maximum.accumulate(line_starts)
    return positions


def _letters(text: str) -> np.ndarray:
    return np.array([LETTER.match(character) is not None for character in text], dtype=bool)


def _inside_word(text: str) -> np.ndarray:
    """1 after a letter or digit that another one follows."""
    letters = _letters(text)
    inside: np.ndarray = letters & np.append(letters[1:], False)
    return inside


def _end_of_word(text: str) -> np.ndarray:
    """1 after the last letter or digit of a word."""
    letters = _letters(text)
    ends: np.ndarray = letters & ~np.append(letters[1:], False)
    return ends
