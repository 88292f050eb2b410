"""``POST /v1/completions``: the texts of a request, from their start to the JSON of their results."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import fmean
from typing import Any

from textloom.errors import RunError
from textloom.generation.reading import Reading
from textloom.generation.state import State
from textloom.serving.echo import ScoredPrompt
from textloom.serving.errors import ApiError
from textloom.serving.requests import CompletionRequest
from textloom.serving.served import Served
from textloom.serving.states import StateStore
from textloom.serving.texts import End, Event, Piece, Text, TextRequest, TokenInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """The beginning from which a text continues."""

    text: str
    ids: tuple[int, ...]


@dataclass
class Completion:
    """The texts of one request, and their results so far."""

    request: CompletionRequest
    served: Served
    states: StateStore
    prompts: list[Prompt]
    texts: list[TextRequest]
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._drawn: list[Text] = []
        self._scored: list[ScoredPrompt] = []
        self._means: dict[int, float] = {}  # log-probability of a token, by text
        self._new_tokens = 0

    @property
    def scores_prompts(self) -> bool:
        """True if ``score_prompts`` has to be called before ``start``."""
        return self.request.logprobs is not None and (self.request.echo or self.request.asks_what_is_next)

    async def score_prompts(self) -> None:
        """Find the log-probabilities of the prompts, which the texts begin with."""
        most, only_next = self.request.logprobs or 0, not self.request.echo
        for prompt in self.prompts:
            work = self.served.score_prompt(prompt.ids, most, self.texts[0].reading, only_next=only_next)
            self._scored.append(await asyncio.wrap_future(self.served.engine.call(work)))

    def start(self) -> None:
        """Hand the texts to the engine. Raises ApiError if too many wait."""
        self._drawn = self.served.engine.submit(
            self.texts, lambda number, event: self._events.put_nowait((number, event))
        )

    def cancel(self) -> None:
        """Free the rows of the texts that are not complete."""
        for text in self._drawn:
            text.cancel()

    async def choices(self) -> AsyncIterator[dict[str, Any]]:
        """The parts of choices in the order of their arrival; the last part of each choice has the reason of its end.

        Raises ApiError if a text ends with an error.
        """
        ended = 0
        while ended < len(self.texts):
            number, event = await self._events.get()
            if isinstance(event, ApiError):
                raise event
            if isinstance(event, Piece):
                yield self._choice(number, event)
                continue
            ended += 1
            self._new_tokens += event.new_tokens
            if self.request.drawn > self.request.n and event.piece.tokens:
                self._means[number] = fmean(info.logprob for info in event.piece.tokens)
            yield self._choice(number, event.piece) | await self._last(number, event)

    async def whole(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        found = {choice["index"]: choice async for choice in self.choices()}
        if self.request.echo:
            for number, choice in found.items():
                choice["text"] = self.echo(number)["text"] + choice["text"]
        if self._scored:
            for number, choice in found.items():
                choice["logprobs"] = _joined(self.echo(number)["logprobs"], choice["logprobs"])
        choices = [found[number] | {"index": index} for index, number in enumerate(self._best())]
        return self.body(choices) | {"usage": self.usage()}

    def _best(self) -> list[int]:
        """The texts to return: of each prompt those with the highest mean log-probability, or all in their order."""
        wanted, drawn = self.request.n, self.request.drawn
        numbers = [range(first, first + drawn) for first in range(0, len(self.texts), drawn)]
        if drawn > wanted:
            ranked = [sorted(some, key=lambda number: -self._means.get(number, -inf)) for some in numbers]
            return [number for some in ranked for number in some[:wanted]]
        return [number for some in numbers for number in some]

    def body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """A body, or a part of a streamed one."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.served.name,
            "choices": choices,
        }

    def usage(self) -> dict[str, int]:
        """Numbers of tokens, once all texts have ended."""
        read = sum(len(prompt.ids) for prompt in self.prompts)
        return {
            "prompt_tokens": read,
            "completion_tokens": self._new_tokens,
            "total_tokens": read + self._new_tokens,
        }

    def echo(self, number: int) -> dict[str, Any]:
        """The part of a choice that has the prompt, as text and with log-probabilities if they are wanted."""
        prompt = number // self.request.drawn
        if not self._scored:
            return _part(number, self.prompts[prompt].text, None)
        scored = self._scored[prompt]
        logprobs = self._logprobs(scored.tokens, 0)
        if self.request.return_token_ids:
            logprobs["next_logprobs"] = self._named(scored.next)
        return _part(number, scored.text, logprobs)

    def _choice(self, number: int, piece: Piece) -> dict[str, Any]:
        if self.request.logprobs is None:
            return _part(number, piece.text, None)
        echoed = len(self._scored[number // self.request.drawn].text) if self._scored else 0
        return _part(number, piece.text, self._logprobs(piece.tokens, echoed))

    async def _last(self, number: int, end: End) -> dict[str, Any]:
        last: dict[str, Any] = {"finish_reason": end.finish_reason, "seed": self.texts[number].drawing.seed}
        if end.reading is not None:
            last["state_id"] = await asyncio.to_thread(self._store, end.reading)
        return last

    def _store(self, reading: Reading) -> str:
        try:
            return self.states.put(State(self.served.signature, reading))
        except RunError as error:
            log.error("%s", error)
            raise ApiError(507, "the state could not be stored; the log says why", code="not_stored") from error

    def _logprobs(self, tokens: Sequence[TokenInfo], before: int) -> dict[str, Any]:
        """The log-probabilities of tokens that come after so many characters of the text."""
        text_of = self.served.token_text
        found: dict[str, Any] = {
            "tokens": [info.text or text_of(info.id) for info in tokens],
            "token_logprobs": [info.logprob for info in tokens],
            "top_logprobs": [{text_of(token): number for token, number in info.likeliest} for info in tokens],
            "text_offset": [before + info.offset for info in tokens],
        }
        if self.request.return_token_ids:
            found["content"] = [
                self._named([(info.id, info.logprob)])[0]
                | {"text": info.text, "top_logprobs": self._named(info.likeliest)}
                for info in tokens
            ]
        return found

    def _named(self, tokens: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
        """Tokens with ids, as the answers of OpenAI's chat completions list them."""
        text_of = self.served.token_text
        return [{"id": token, "token": text_of(token), "logprob": logprob} for token, logprob in tokens]


def _part(number: int, text: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": logprobs, "finish_reason": None}


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: found + second.get(name, []) for name, found in first.items()}
