"""A text in the engine, from its request to its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from textloom.generation.reading import CONTEXT, Reading
from textloom.generation.text import GrowingText, Limits, Writing
from textloom.serving.errors import ApiError
from textloom.serving.rows import Drawing, Drawn
from textloom.tokenizers import Tokenizer


@dataclass(frozen=True)
class TextRequest:
    """A text to draw."""

    reading: Reading
    """The reading that the text continues from."""
    ids: tuple[int, ...]
    """The tokens to read first."""
    drawing: Drawing
    limits: Limits
    streamed: bool = False
    """True if its pieces are wanted while it is drawn."""
    store: bool = False
    """True if the reading at its end is wanted."""


@dataclass(frozen=True)
class TokenInfo:
    """A token of a text with log-probabilities."""

    id: int
    text: str
    """The characters that it adds; empty if it is a part of a character."""
    offset: int
    """Characters of the generated text before it."""
    logprob: float
    likeliest: list[tuple[int, float]]


@dataclass(frozen=True)
class Piece:
    """The next part of a text."""

    text: str
    tokens: list[TokenInfo]
    """Empty if no log-probabilities are wanted."""


@dataclass(frozen=True)
class End:
    """The last part of a text."""

    piece: Piece
    finish_reason: str
    """``stop`` or ``length``, as OpenAI names them."""
    new_tokens: int
    reading: Reading | None
    """The reading at the end of the text, if it is to be stored."""


Event = Piece | End | ApiError


@dataclass
class Text:
    """A text in the engine: it waits, reads its prompt, is drawn, and ends. Only ``cancel`` is called from outside."""

    request: TextRequest
    deadline: float
    """On the clock of ``time.monotonic``."""
    deliver: Callable[[Event], None]
    """Called in the asyncio loop."""
    row: int | None = None
    cancelled: bool = False
    growing: GrowingText | None = None
    """None until the prompt is read."""

    def __post_init__(self) -> None:
        self.reading, self.unread = self.request.reading, list(self.request.ids)
        self._infos: list[TokenInfo] = []
        self._writing: Writing | None = None
        self._characters = self._tokens = 0  # that were delivered

    def cancel(self) -> None:
        """Cancel the text, because its client has disconnected or has all it needs."""
        self.cancelled = True

    @property
    def is_late(self) -> bool:
        """True if the time for the request is over."""
        return time.monotonic() > self.deadline

    def has_prompt_of(self, other: "Text") -> bool:
        """True if both continue from the same reading with the same prompt."""
        return self.request.ids is other.request.ids and self.request.reading is other.request.reading

    def begin(self, tokenizer: Tokenizer) -> None:
        """Prepare for drawing, after the prompt has been read."""
        # a short prompt is the whole context: some tokenizers decode a word depending on tokens far before it
        alone = self.request.reading.tokens == 0 and self.reading.tokens < 4 * CONTEXT
        context = self.request.ids if alone else self.reading.context
        watched = self.request.streamed or self.request.limits.watch_text
        self.growing = GrowingText(tokenizer, self.request.limits, context, watched)
        if self.request.drawing.logprobs is not None:
            self._writing = Writing(tokenizer, context)
        if self.request.limits.length == 0:
            self.growing.add([], [])

    def add(self, drawn: Drawn) -> None:
        """Add tokens that were drawn."""
        assert self.growing is not None
        if self._writing is not None:
            for token, logprob, likeliest in zip(drawn.tokens, drawn.logprobs, drawn.likeliest, strict=True):
                offset = self._infos[-1].offset + len(self._infos[-1].text) if self._infos else 0
                self._infos.append(TokenInfo(token, self._writing.add([token]), offset, logprob, likeliest))
        self.growing.add(drawn.tokens, drawn.logprobs)

    def piece(self) -> Piece | None:
        """The characters since the last piece that cannot change any more; None if there are none."""
        assert self.growing is not None
        settled = self.growing.settled
        ready = [info for info in self._infos if info.offset + len(info.text) <= settled]
        piece = self._piece(self.growing.text[:settled], ready)
        return piece if piece.text or piece.tokens else None

    def end(self, reading: Reading | None) -> End:
        """The end of the text."""
        assert self.growing is not None
        text = self.growing.finish()
        piece = self._piece(text, self._infos[: len(self.growing.tokens)])
        reason = "length" if self.growing.ending == "length" else "stop"
        return End(piece, reason, len(self.growing.tokens), reading)

    def _piece(self, text: str, infos: list[TokenInfo]) -> Piece:
        piece = Piece(text[self._characters :], infos[self._tokens :])
        self._characters, self._tokens = len(text), len(infos)
        return piece
