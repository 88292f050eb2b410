"""A pseudo-terminal: the screens that a user sees while a command runs."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyte

ROWS = 24
SETTLED = 0.005  # seconds without output after which a screen is looked at


@dataclass
class Terminal:
    """The terminal of one command."""

    columns: int
    screens: list[list[str]] = field(default_factory=list)
    """The lines of each screen that differed from the one before, without the empty ones at the end."""
    text: str = ""
    """All lines at the end, those that scrolled out of sight too."""
    status: int | None = None

    def run(
        self, *arguments: str, typed: Callable[[list[str]], bytes] = lambda screen: b"", seconds: float = 120
    ) -> None:
        """Run ``textloom ARGUMENTS`` to its end; ``typed`` is asked at each screen what to type."""
        screen = pyte.HistoryScreen(self.columns, ROWS, history=10_000, ratio=1)
        stream = pyte.ByteStream(screen)
        control, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, self.columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", _IN_A_TERMINAL, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            env=_environment(),
        )
        os.close(terminal)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                read = os.read(control, 1 << 16)
            except OSError:  # the command has ended
                break
            stream.feed(read)
            if select.select([control], [], [], SETTLED)[0]:
                continue
            shown = _without_empty_end(screen.display)
            if self.screens[-1:] != [shown]:
                self.screens.append(shown)
            answer = typed(shown)
            if answer:
                os.write(control, answer)
        os.close(control)
        self.status = process.wait(10)
        scrolled = ["".join(line[column].data for column in range(self.columns)) for line in screen.history.top]
        self.text = "\n".join(_without_empty_end([*scrolled, *screen.display]))

    def wrapped(self, lines: Iterable[str]) -> list[str]:
        """Lines as a terminal of this width shows them."""
        return [
            line[i : i + self.columns].rstrip() for line in lines for i in range(0, max(1, len(line)), self.columns)
        ]


_IN_A_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C typed there is SIGINT here
from textloom.cli.start import start
start()
"""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    source = str(Path(__file__).parents[1] / "src")
    return {**kept, "TERM": "xterm-256color", "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8"}


def _without_empty_end(lines: Iterable[str]) -> list[str]:
    kept = [line.rstrip() for line in lines]
    while kept and not kept[-1]:
        kept.pop()
    return kept
