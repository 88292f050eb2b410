"""Progress lines at the bottom of a terminal or below a cell of a notebook, and functions that write above them.

Code that takes long opens a stage and advances it. A thread redraws five times a second, so that advancing costs
only an addition. Nothing is drawn without a terminal or a notebook, or outside of ``shown``.
"""

import logging
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

SECONDS_BETWEEN_REDRAWS = 0.2
SHORTEST_BAR = 10  # columns; if there are fewer, parts of the text are left out
NOTEBOOK_COLUMNS = 100
ERASE = "\r\x1b[J"  # from the start of the line to the end of the screen


class Stage:
    """A part of the work: its name, amount done, total and notes. Subclasses override ``refresh``."""

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


class _Terminal:
    """Draws lines at the bottom of a terminal. The cursor stays at the start of the first line."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.ascii_only = not (stream.encoding or "").lower().startswith("utf")

    def size(self) -> tuple[int, int]:
        """Columns and rows for the lines; a line as wide as the terminal would wrap."""
        columns, rows = _size(self.stream)
        return columns - 1, max(1, rows - 1)

    def draw(self, lines: list[str]) -> None:
        """Replace the lines. Raises OSError or ValueError if the terminal is gone."""
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        text = f"{ERASE}{chr(10).join(lines)}{up}\r" if lines else ERASE
        self.stream.write(text.encode(self.stream.encoding or "utf-8", "replace").decode(self.stream.encoding))
        self.stream.flush()


class _Notebook:
    """Draws lines in an output of the cell of a Jupyter notebook, which is updated in place."""

    ascii_only = False

    def __init__(self, display: Callable[..., Any]):
        self.display = display  # of IPython
        self.handle: Any = None

    def size(self) -> tuple[int, int]:
        """Columns and rows for the lines."""
        return NOTEBOOK_COLUMNS, 24

    def draw(self, lines: list[str]) -> None:
        """Replace the lines."""
        content = {"text/plain": "\n".join(lines)}
        if self.handle is None:
            self.handle = self.display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)


class _Display:
    """The stages of this process, the innermost last, on its terminal or in its notebook."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.stages: list[Stage] = []
        self.place: _Terminal | _Notebook | None = None  # None: nothing is drawn
        self.drawn = False

    def draw(self) -> None:
        """Redraw the lines."""
        with self.lock:
            if self.place is None:
                return
            columns, rows = self.place.size()
            visible = [stage for stage in self.stages if stage.stays or stage is self.stages[-1]]
            lines = [line for stage in visible for line in self._lines(stage, columns, self.place.ascii_only)]
            self._write(lines[:rows])

    def erase(self) -> None:
        """Erase the lines, for other output."""
        with self.lock:
            if self.drawn:
                self._write([])

    def _lines(self, stage: Stage, columns: int, ascii_only: bool) -> list[str]:
        stage.refresh()
        return stage.line(columns, ascii_only).splitlines()

    def _write(self, lines: list[str]) -> None:
        self.drawn = bool(lines)
        try:
            if self.place is not None:
                self.place.draw(lines)
        except (OSError, ValueError):  # the terminal is gone
            self.place = None


_display = _Display()
os.register_at_fork(after_in_child=lambda: setattr(_display, "place", None))  # the parent draws


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
    """Draw stages on a terminal (stderr) or in a notebook, if they are wanted; warnings are logged meanwhile."""
    before = _display.place
    with _display.lock:
        _display.erase()
        _display.place = _place(before) if wanted else None
    if _display.place is before:  # nested
        yield
        return
    over = threading.Event()
    show_warning = warnings.showwarning
    if _display.place is not None:
        threading.Thread(target=_redraw, args=(over,), daemon=True).start()
        logging.captureWarnings(True)
    captured = warnings.showwarning is not show_warning  # not if the caller had them captured already
    try:
        yield
    finally:
        over.set()
        with _display.lock:
            _display.erase()
            _display.place = before
        if captured:
            logging.captureWarnings(False)


def is_drawing() -> bool:
    """True while stages are drawn."""
    return _display.place is not None


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


def _place(before: _Terminal | _Notebook | None) -> _Terminal | _Notebook | None:
    """The place to draw: the same as before if nothing has changed; None without a terminal or a notebook."""
    if _is_terminal(sys.stderr):
        return before if isinstance(before, _Terminal) and before.stream is sys.stderr else _Terminal(sys.stderr)
    display = _display_of_notebook()
    return None if display is None else before if isinstance(before, _Notebook) else _Notebook(display)


def _display_of_notebook() -> Callable[..., Any] | None:
    """IPython's function ``display`` if this process is the kernel of a notebook; None otherwise."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import display, get_ipython  # only in a kernel: IPython is not a requirement of textloom

    return display.display if hasattr(get_ipython(), "kernel") else None


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _size(stream: TextIO) -> tuple[int, int]:
    """The columns and rows of a terminal; 80 and 24 if they are unknown."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        size = shutil.get_terminal_size()
    return size.columns or 80, size.lines or 24
