"""Requests to stop: SIGTERM, SIGINT (Ctrl-C), SIGUSR1 (Slurm's warning before the time is up), and a limit of time."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from textloom.errors import Interrupted

ASKED_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Remembers the first signal, so that training can write a checkpoint and end; a second Ctrl-C stops at once.

    Where several processes train, rank 0 decides when all stop; the others do not heed a signal.
    ``seconds`` limit the time of this process, counted from here; None for no limit.
    """

    def __init__(self, heeds: bool = True, seconds: float | None = None) -> None:
        self.heeds = heeds
        self.deadline = float("inf") if seconds is None else time.monotonic() + seconds
        self.out_of_time = False  # the training ended for that
        self.received: signal.Signals | None = None
        self.training = False

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in ASKED_TO_STOP:
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    def listen(self) -> None:
        """Take the signals; asked again when training starts, since Lightning takes SIGTERM for itself then."""
        if threading.current_thread() is threading.main_thread():
            for number in ASKED_TO_STOP:
                signal.signal(number, self._receive)

    @property
    def time_is_up(self) -> bool:
        """True after the deadline."""
        return time.monotonic() >= self.deadline

    def interrupted(self) -> Interrupted:
        """What to raise once the checkpoint is written."""
        name = self.received.name if self.received is not None else "a signal"
        return Interrupted(f"stopped by {name}", self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.heeds:
            return
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        if not self.training:
            raise self.interrupted()
