"""Texts while they are generated: decoding their tokens, and finding where they end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import REPLACEMENT

ANCHOR = 64  # tokens before the new ones that are decoded with them
SENTENCE = re.compile(r"[.!?…。！？][\"'”’»)\]]*(?=\s)|[。！？]")
"""The end of a sentence."""

Ending = Literal["length", "stop", "end"]
"""Why a text ends: it has as many tokens, characters or sentences as it may; a stop text; the model ended it."""


@dataclass(frozen=True)
class Limits:
    """Limits at which texts end, if the model does not end them before."""

    length: int
    """Most tokens."""
    stop: tuple[str, ...] = ()
    """Texts before which a text ends."""
    characters: int | None = None
    sentences: int | None = None

    @property
    def watch_text(self) -> bool:
        """True if the characters have to be checked while the text grows."""
        return bool(self.stop) or self.characters is not None or self.sentences is not None

    def cut(self, text: str, searched: int = 0) -> tuple[int, Ending] | None:
        """The place and reason of the text's end; None if it has not ended. No stop text begins before ``searched``."""
        cuts: list[tuple[int, Ending]] = [
            (place, "stop") for stop in self.stop if (place := text.find(stop, searched)) >= 0
        ]
        if self.characters is not None and len(text) >= self.characters:
            cuts.append((self.characters, "length"))
        if self.sentences is not None:
            ends = [found.end() for found in SENTENCE.finditer(text)]
            if len(ends) >= self.sentences:
                cuts.append((ends[self.sentences - 1], "length"))
        return min(cuts, default=None)

    def begun(self, text: str) -> int:
        """Number of characters at the end of the text with which a stop text may begin."""
        lengths = [n for stop in self.stop for n in range(1, len(stop)) if text.endswith(stop[:n])]
        return max(lengths, default=0)


class Writing:
    """Decodes tokens that come a few at a time, after a context.

    A character whose bytes are not all there yet is held back.
    """

    def __init__(self, tokenizer: Tokenizer, context: Sequence[int]):
        self._tokenizer = tokenizer
        self._ids = list(context)
        self._known = tokenizer.decode(self._ids)

    def add(self, ids: Sequence[int], last: bool = False) -> str:
        """The characters that some more tokens add; with ``last`` those that are held back, too."""
        self._ids += ids
        text = self._tokenizer.decode(self._ids)
        held = text.endswith(REPLACEMENT) and not last
        if held:
            text = text[:-1]
        if not text.startswith(self._known):  # the end of a context may be decoded differently when tokens follow it
            self._known = text[: common_prefix(self._known, text)]
        new, self._known = text[len(self._known) :], text
        if len(self._ids) > 4 * ANCHOR and not held:
            self._ids = self._ids[-ANCHOR:]
            self._known = self._tokenizer.decode(self._ids)
        return new


@dataclass
class GrowingText:
    """One text while it is drawn: its tokens after the prompt, and its characters if it is watched."""

    tokenizer: Tokenizer
    limits: Limits
    context: Sequence[int]
    """The tokens before it."""
    watched: bool
    """True if ``text`` is kept up to date."""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    ending: Ending | None = None
    """None while it grows."""

    def __post_init__(self) -> None:
        self._writing = Writing(self.tokenizer, self.context if self.watched else ())

    def add(self, ids: list[int], logprobs: list[float]) -> None:
        """Add tokens that were drawn; what comes after the end of the text is left out."""
        if self.ending is not None:
            return
        room = self.limits.length - len(self.tokens)
        if len(ids) > room:
            ids = ids[:room]
        end = self.tokenizer.end_id
        if end in ids:
            ids, self.ending = ids[: ids.index(end)], "end"
        self.tokens += ids
        if logprobs:
            self.logprobs += logprobs[: len(ids)]
        if self.ending is None and len(self.tokens) == self.limits.length:
            self.ending = "length"
        if self.watched:
            before = len(self.text)
            self.text += self._writing.add(ids, last=self.ending is not None)
            self._stop(max(0, before - max(map(len, self.limits.stop), default=0)))

    def _stop(self, searched: int) -> None:
        """End the text if a limit is reached or a stop text occurs. Tokens after the end are dropped."""
        cut = self.limits.cut(self.text, searched)
        if cut is None:
            return
        place, self.ending = cut
        self.text = self.text[:place]
        fewest, most = 0, len(self.tokens)
        while fewest < most:  # the number of tokens that write the text rises with its length
            middle = (fewest + most) // 2
            if len(written(self.tokenizer, self.context, self.tokens[:middle])) < place:
                fewest = middle + 1
            else:
                most = middle
        self.tokens, self.logprobs = self.tokens[:fewest], self.logprobs[:fewest]

    def finish(self) -> str:
        """The whole text after the prompt."""
        if not self.watched:
            self.text = written(self.tokenizer, self.context, self.tokens)
        return self.text

    @property
    def settled(self) -> int:
        """Number of characters that cannot change any more."""
        return len(self.text) - (0 if self.ending is not None else self.limits.begun(self.text))


def written(tokenizer: Tokenizer, context: Sequence[int], ids: Sequence[int]) -> str:
    """The text of tokens after a context."""
    known, text = tokenizer.decode(context), tokenizer.decode([*context, *ids])
    return text[common_prefix(known, text) :]


def common_prefix(one: str, other: str) -> int:
    """Length of the common prefix of two texts."""
    if other.startswith(one):
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
