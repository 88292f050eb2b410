"""Requests to stop: SIGTERM, SIGINT (Ctrl-C), SIGUSR1 (Slurm's warning before the time is up), and a time limit."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from textloom.errors import Interrupted

Handler = Callable[[int, FrameType | None], Any] | int | None
ASKED_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Records the first signal, so that training can write a checkpoint and end; a second Ctrl-C stops at once.

    If several processes train, rank 0 decides when all of them stop, and the others ignore signals
    (``handles_signals=False``). ``seconds`` limits the time of this process, counted from here; None for no limit. On
    exit the earlier signal handlers are restored. Outside of the main thread, where Python allows no handlers, signals
    are not handled.
    """

    def __init__(self, handles_signals: bool = True, seconds: float | None = None) -> None:
        self.handles_signals = handles_signals
        self.handlers_before: dict[signal.Signals, Handler] = {}
        self.deadline = float("inf") if seconds is None else time.monotonic() + seconds
        self.out_of_time = False  # True if the time limit ended the training
        self.received: signal.Signals | None = None
        self.training = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self.handlers_before = {number: signal.getsignal(number) for number in ASKED_TO_STOP}
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.handlers_before.items():
            if handler is not None:  # None for a handler that was not set from Python
                signal.signal(number, handler)
        self.handlers_before = {}

    def listen(self) -> None:
        """Set the signal handlers; again when training starts, because Lightning sets one for SIGTERM then."""
        for number in self.handlers_before:
            signal.signal(number, self._receive)

    @property
    def time_is_up(self) -> bool:
        """True after the time limit."""
        return time.monotonic() >= self.deadline

    def interrupted(self) -> Interrupted:
        """The error to raise once the checkpoint is written."""
        name = self.received.name if self.received is not None else "a signal"
        return Interrupted(f"stopped by {name}", self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.handles_signals:
            return
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        if not self.training:
            raise self.interrupted()
