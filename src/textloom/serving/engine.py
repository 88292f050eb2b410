"""The thread that owns a model: it reads prompts, draws texts side by side, and delivers them.

Texts enter and leave the rows between turns. A turn is a number of steps, so that the cost of delivering the texts is
paid once for several tokens. With one text a turn takes a fiftieth of a second, with 64 a tenth.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from textloom.generation.reading import BLOCK
from textloom.generation.step_settings import suited_to
from textloom.models.language_model import LanguageModel
from textloom.serving.errors import ApiError
from textloom.serving.rows import Rows
from textloom.serving.texts import Event, Text, TextRequest
from textloom.serving.threads import rows_computed_alike
from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

TURN_SECONDS = 0.02  # at least
HANDING_OUT = 0.0001  # seconds to deliver a text in a turn, in both threads
SHARE = 1 / 15  # of a turn that may be spent on delivering
MOST_STEPS = 128  # in a turn
MOST_STEPS_WHILE_WAITING = 16  # in a turn, if texts wait for a row
SMOOTHING = 0.2  # weight of the last turn in the time of a step
BLOCKS_A_TURN = 8  # of prompts, which the model reads between two turns

Work = Generator[None, None, Any]
"""Work in parts, with a pause after each; the return value of the generator is the result."""


@dataclass(frozen=True)
class EngineLimits:
    """Limits of the work that an engine accepts."""

    rows: int
    queue: int
    seconds: float
    """For a request, waiting included."""


class Engine:
    """Draws texts from one model, in a thread of its own."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, window: int | None, limits: EngineLimits):
        self._model, self._tokenizer, self._window, self._limits = model, tokenizer, window, limits
        self._condition = threading.Condition()
        self._waiting: deque[Text] = deque()
        self._calls: deque[tuple[Work, Future[Any]]] = deque()
        self._closed = False
        self._texts: list[Text] = []  # that have a row
        self._outbox: list[tuple[Text, Event]] = []
        self._step_seconds = TURN_SECONDS / 10
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rows = self._new_rows()
        self._thread = threading.Thread(target=self._run, name="textloom-engine", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; events are delivered in this loop."""
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        """End the thread; every text that is not complete gets an error."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    @property
    def load(self) -> dict[str, int]:
        """Number of texts that are drawn, and of those that wait."""
        return {"drawn": len(self._texts), "waiting": len(self._waiting)}

    def submit(self, requests: Sequence[TextRequest], deliver: Callable[[int, Event], None]) -> list[Text]:
        """Let texts wait for rows. ``deliver`` gets the number of a text, and its next event.

        Raises ApiError if too many texts wait.
        """
        deadline = time.monotonic() + self._limits.seconds
        texts = [Text(request, deadline, _numbered(deliver, number)) for number, request in enumerate(requests)]
        with self._condition:
            self._refuse_if_closed()
            waiting = sum(not text.cancelled for text in self._waiting)
            if waiting + len(texts) > self._limits.queue + self._limits.rows - len(self._texts):
                raise _queue_full(waiting)
            self._waiting.extend(texts)
            self._condition.notify()
        return texts

    def call(self, work: Work) -> "Future[Any]":
        """Do some work in the thread, a few of its parts between two turns. Raises ApiError if the queue is full."""
        future: Future[Any] = Future()
        with self._condition:
            self._refuse_if_closed()
            if len(self._calls) > self._limits.queue:
                raise _queue_full(len(self._calls))
            self._calls.append((work, future))
            self._condition.notify()
        return future

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ApiError(503, "the server is being stopped; try again later", code="stopping", retry_after=5)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        decoder, sizes = self._rows.decoder, (self._limits.rows, self._model.vocabulary_size)
        with torch.inference_mode(), suited_to(decoder), rows_computed_alike(decoder, *sizes):
            while self._wait():
                try:
                    self._turn(self._rows)
                except Exception:  # a defect, or out of memory: only these texts are lost
                    log.exception("a turn failed")
                    self._fail(ApiError(500, "the text could not be drawn; the log says why", code="failed"))
                    self._rows = self._new_rows()
                self._send()
        self._fail(ApiError(503, "the server is being stopped; try again later", code="stopping", retry_after=5))
        self._send()

    def _new_rows(self) -> Rows:
        tokenizer = self._tokenizer
        with torch.inference_mode():
            return Rows(self._model, self._limits.rows, self._window, tokenizer.unknown_id, tokenizer.end_id)

    def _wait(self) -> bool:
        """Wait for work. Returns False if the engine is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._texts or self._waiting or self._calls)
            return not self._closed

    def _turn(self, rows: Rows) -> None:
        self._call_next()
        self._drop(rows)
        self._admit(rows)
        self._read_prompts(rows)
        drawn = [text for text in self._texts if text.growing is not None]
        if drawn:
            self._draw(rows, drawn)

    def _call_next(self) -> None:
        """Do some parts of the work that has waited longest, and put it at the end of the queue."""
        with self._condition:
            work, future = self._calls.popleft() if self._calls else (None, None)
        if work is None or future is None or future.cancelled():
            return
        try:
            for _ in range(BLOCKS_A_TURN):
                next(work)
        except StopIteration as end:
            if future.set_running_or_notify_cancel():
                future.set_result(end.value)
        except Exception as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            with self._condition:
                self._calls.append((work, future))

    def _drop(self, rows: Rows) -> None:
        """Remove texts that were cancelled or have reached their time limit."""
        for text in [text for text in self._texts if text.cancelled or text.is_late]:
            self._leave(rows, text)
            if not text.cancelled:
                self._outbox.append((text, self._too_late()))

    def _too_late(self) -> ApiError:
        message = f"not complete within {self._limits.seconds:g} seconds; ask for fewer tokens"
        return ApiError(422, message, code="timeout")

    def _admit(self, rows: Rows) -> None:
        """Give free rows to the texts that have waited longest."""
        free = self._limits.rows - len(self._texts)
        while free:
            with self._condition:
                text = self._waiting.popleft() if self._waiting else None
            if text is None:
                return
            if text.cancelled:
                continue
            if text.is_late:
                self._outbox.append(
                    (text, ApiError(503, "too many texts wait; try again soon", code="busy", retry_after=1))
                )
                continue
            self._texts.append(text)
            free -= 1

    def _read_prompts(self, rows: Rows) -> None:
        """Read the blocks of prompts, in the order of the texts; texts whose blocks are read enter rows."""
        budget = BLOCKS_A_TURN * BLOCK
        reading: list[Text] = []
        for text in [text for text in self._texts if text.growing is None]:
            same = next((other for other in reading if other.has_prompt_of(text)), None)
            if same is not None:  # another text of the same request reads it
                text.reading, text.unread = same.reading, same.unread
            else:
                some, text.unread = text.unread[:budget], text.unread[budget:]
                text.reading = text.reading.further(self._model, some, self._window)
                budget -= len(some)
                reading.append(text)
            if not text.unread:
                text.begin(self._tokenizer)
                if text.growing is not None and text.growing.ending is not None:
                    self._end(rows, text)
                else:
                    text.row = rows.free[0]
                    rows.enter(text.row, text.reading, text.request.drawing)
            if budget <= 0:
                return

    def _draw(self, rows: Rows, texts: Sequence[Text]) -> None:
        began = time.perf_counter()
        steps = self._steps(rows, texts)
        drawn = rows.step(steps)
        self._step_seconds += SMOOTHING * ((time.perf_counter() - began) / steps - self._step_seconds)
        for text in texts:
            assert text.row is not None
            assert text.growing is not None
            text.add(drawn[text.row])
            if text.growing.ending is not None:
                self._end(rows, text)
            elif text.request.streamed and (piece := text.piece()) is not None:
                self._outbox.append((text, piece))

    def _steps(self, rows: Rows, texts: Sequence[Text]) -> int:
        """The number of steps of the next turn, limited by its time and by the longest text."""
        most = MOST_STEPS_WHILE_WAITING if self._waiting else MOST_STEPS
        needed = 0
        for text in texts:
            assert text.row is not None
            assert text.growing is not None
            left = text.request.limits.length - len(text.growing.tokens)
            needed = max(needed, rows.unread(text.row) - 1 + left)
        seconds = max(TURN_SECONDS, len(texts) * HANDING_OUT / SHARE)
        return max(1, min(most, needed, int(seconds / self._step_seconds)))

    def _end(self, rows: Rows, text: Text) -> None:
        assert text.growing is not None
        reading = None
        if text.request.store:
            reading = text.reading.further(self._model, text.growing.tokens, self._window)
        self._outbox.append((text, text.end(reading)))
        self._leave(rows, text)

    def _leave(self, rows: Rows, text: Text) -> None:
        self._texts.remove(text)
        if text.row is not None:
            rows.leave(text.row)

    def _fail(self, error: ApiError) -> None:
        """End all texts with an error; after ``close`` those that wait too."""
        with self._condition:
            failed, self._texts = self._texts, []
            if self._closed:
                failed += self._waiting
                self._waiting.clear()
                for _, future in self._calls:
                    if future.set_running_or_notify_cancel():
                        future.set_exception(error)
                self._calls.clear()
        self._outbox += [(text, error) for text in failed]

    def _send(self) -> None:
        """Deliver all pending events in one call of the loop."""
        events, self._outbox = self._outbox, []
        if events and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, events)


def _deliver(events: Sequence[tuple[Text, Event]]) -> None:
    for text, event in events:
        if not text.cancelled:
            text.deliver(event)


def _numbered(deliver: Callable[[int, Event], None], number: int) -> Callable[[Event], None]:
    return lambda event: deliver(number, event)


def _queue_full(waiting: int) -> ApiError:
    return ApiError(429, f"{waiting} texts wait already; try again soon", code="queue_full", retry_after=1)
