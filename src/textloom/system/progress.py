"""Progress lines at the bottom of a terminal, and functions that write above them.

Code that takes long opens a stage and advances it. A thread redraws five times a second, so that advancing costs
only an addition. Nothing is drawn without a terminal, or outside of ``shown``.
"""

import logging
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

SECONDS_BETWEEN_REDRAWS = 0.2
SHORTEST_BAR = 10  # columns; if there are fewer, parts of the text are left out
ERASE = "\r\x1b[J"  # from the start of the line to the end of the screen


class Stage:
    """A part of the work: its name, the amount done and in total, and notes. Subclasses override ``refresh``."""

    stays = False
    """True if it stays visible while a stage inside it is shown."""

    def __init__(self, name: str, total: int | None = None, unit: str = ""):
        self.name, self.unit = name, unit
        self.total: int | None = total
        self.first = self.done = 0  # the amount done before it began, and now
        self.notes: list[str] = []  # the last ones are left out on a narrow terminal
        self.began = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Add to the amount done."""
        self.done += count

    def refresh(self) -> None:
        """Update the stage; called before each redraw."""

    def line(self, columns: int, ascii_only: bool = False) -> str:
        """The stage as a line of at most this many columns."""
        elapsed = time.monotonic() - self.began
        clock = tqdm.format_interval(elapsed)
        if not self.total:
            counted = [self._counted()] if self.done else []
            return str(disp_trim(", ".join([self.name, *counted, *self.notes, clock]), columns))
        done = min(self.done, self.total)
        parts = [self._counted(), self._time_left(elapsed) or clock, *self.notes]
        head = f"{self.name} {100 * done // self.total:3}%|"
        while len(parts) > 1 and disp_len(f"{head}| {', '.join(parts)}") > columns - SHORTEST_BAR:
            parts.pop()
        form = "{desc} {percentage:3.0f}%|{bar}| " + ", ".join(parts)
        return str(
            tqdm.format_meter(done, self.total, elapsed, columns, prefix=self.name, ascii=ascii_only, bar_format=form)
        )

    def _counted(self) -> str:
        numbers = [self.done] if self.total is None else [min(self.done, self.total), self.total]
        if self.unit == "bytes":
            return f"{'/'.join(f'{number / 1e6:,.1f}' for number in numbers)} MB"
        return f"{'/'.join(f'{number:,}' for number in numbers)} {self.unit}".rstrip()

    def _time_left(self, elapsed: float) -> str | None:
        done = self.done - self.first
        if done <= 0 or self.total is None or self.done >= self.total:
            return None
        return f"{tqdm.format_interval(elapsed / done * (self.total - self.done))} left"


class _Display:
    """The stages of this process, the innermost last, on its terminal. The cursor stays at the start of their lines."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.stages: list[Stage] = []
        self.stream: TextIO | None = None  # None: nothing is drawn
        self.drawn = False

    def draw(self) -> None:
        """Redraw the lines."""
        with self.lock:
            if self.stream is None:
                return
            columns, rows = _size(self.stream)
            ascii_only = not (self.stream.encoding or "").lower().startswith("utf")
            lines = [
                line
                for stage in self.stages
                if stage.stays or stage is self.stages[-1]
                for line in self._lines(stage, columns - 1, ascii_only)  # a full line would wrap
            ][: max(1, rows - 1)]
            up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
            self._write(f"{ERASE}{chr(10).join(lines)}{up}\r" if lines else ERASE)
            self.drawn = bool(lines)

    def erase(self) -> None:
        """Erase the lines, for other output."""
        with self.lock:
            if self.drawn:
                self._write(ERASE)
                self.drawn = False

    def _lines(self, stage: Stage, columns: int, ascii_only: bool) -> list[str]:
        stage.refresh()
        return stage.line(columns, ascii_only).splitlines()

    def _write(self, text: str) -> None:
        assert self.stream is not None
        try:
            self.stream.write(text.encode(self.stream.encoding or "utf-8", "replace").decode(self.stream.encoding))
            self.stream.flush()
        except (OSError, ValueError):  # the terminal is gone
            self.stream = None


_display = _Display()
os.register_at_fork(after_in_child=lambda: setattr(_display, "stream", None))  # the parent draws


@contextmanager
def stage(name: str | Stage, total: int | None = None, unit: str = "") -> Iterator[Stage]:
    """Show a stage until the block ends, instead of the one around it."""
    current = name if isinstance(name, Stage) else Stage(name, total, unit)
    with _display.lock:
        _display.stages.append(current)
    try:
        yield current
    finally:
        with _display.lock:
            if current in _display.stages:  # an error may have ended the stage around it first
                del _display.stages[_display.stages.index(current) :]
            _display.erase()


def advance(count: int = 1) -> None:
    """Add to the amount done of the innermost stage."""
    if _display.stages:
        _display.stages[-1].advance(count)


@contextmanager
def shown(wanted: bool = True) -> Iterator[None]:
    """Draw stages on stderr if it is a terminal and they are wanted; warnings are logged meanwhile."""
    before = _display.stream
    with _display.lock:
        _display.erase()
        _display.stream = sys.stderr if wanted and _is_terminal(sys.stderr) else None
    if _display.stream is before:  # nested
        yield
        return
    over = threading.Event()
    show_warning = warnings.showwarning
    if _display.stream is not None:
        threading.Thread(target=_redraw, args=(over,), daemon=True).start()
        logging.captureWarnings(True)
    captured = warnings.showwarning is not show_warning  # not if the caller had them captured already
    try:
        yield
    finally:
        over.set()
        with _display.lock:
            _display.erase()
            _display.stream = before
        if captured:
            logging.captureWarnings(False)


def is_drawing() -> bool:
    """True while stages are drawn."""
    return _display.stream is not None


def say(text: str) -> None:
    """Print lines to stderr, above the progress lines."""
    with _display.lock:
        _display.erase()
        print(text, file=sys.stderr, flush=True)
        _display.draw()


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes log lines above the progress lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Erase the progress lines, write the record, and draw them again."""
        with _display.lock:
            drawn = _display.drawn
            _display.erase()
            super().emit(record)
            if drawn:
                _display.draw()


def _redraw(over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN_REDRAWS):
        with _display.lock:
            if not over.is_set() and _display.stages:
                _display.draw()


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _size(stream: TextIO) -> tuple[int, int]:
    """The columns and rows of a terminal; 80 and 24 if they are unknown."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        size = shutil.get_terminal_size()
    return size.columns or 80, size.lines or 24
