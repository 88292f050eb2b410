"""Standard output and error: printing never raises an error, and control characters do not affect a terminal."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

NOBODY_READS = (errno.EPIPE, errno.EIO)
"""Errors of writing to a pipe whose reader has ended, such as head, or to a closed terminal."""
PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}  # ESC is shown as ␛
PICTURES |= {0x7F: "\u2421"} | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}


def visible(text: str) -> str:
    """The text with a visible sign in place of each control character except line ends and tabs.

    A model that was trained on logs generates escape sequences, which would recolour or clear a terminal.
    """
    return text.translate(PICTURES)


def for_stdout(text: str) -> str:
    """The text with its control characters visible if standard output is a terminal; unchanged for a file or a pipe."""
    return visible(text) if sys.stdout.isatty() else text


def nobody_reads() -> bool:
    """True if standard output is a pipe or a terminal that has been closed, or could not be written."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, LossyFile) and raw.error is not None


class LossyFile(io.FileIO):
    """A file descriptor that keeps its first write error and drops everything written after it."""

    error: OSError | None = None

    def write(self, data: "io.ReadableBuffer", /) -> int:  # type: ignore[name-defined]
        """Write or drop the bytes, and return their number."""
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Print without errors, whatever the encoding, with a closed pipe or a full disk.

    Characters that the encoding lacks become \\\\uXXXX. If standard output lost text other than into a closed pipe, the
    process ends with one line about it and exit status 1.
    """
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    stdout, stderr = _tolerant(before[0]), _tolerant(before[1])
    sys.stdout, sys.stderr = stdout or before[0], stderr or before[1]
    try:
        yield
        if stdout is not None:
            stdout.flush()
            lost = _raw(stdout).error
            if lost is not None and lost.errno not in NOBODY_READS:
                print(f"standard output: {lost.strerror}; the printed text is not complete", file=sys.stderr)
                sys.exit(1)
    finally:
        for stream in (stdout, stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _tolerant(stream: TextIO) -> io.TextIOWrapper | None:
    """A lossy stream on the same file descriptor; None without one, as in a notebook, or if it is lossy already."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError, io.UnsupportedOperation):
        return None
    if isinstance(getattr(getattr(stream, "buffer", None), "raw", None), LossyFile):
        return None
    stream.flush()
    buffer = io.BufferedWriter(LossyFile(descriptor, "w", closefd=False))
    by_line = getattr(stream, "line_buffering", False) or getattr(stream, "write_through", False)
    return io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=by_line)


def _raw(stream: io.TextIOWrapper) -> LossyFile:
    raw = stream.buffer.raw  # type: ignore[attr-defined]
    assert isinstance(raw, LossyFile)
    return raw


def _open_closed_descriptors() -> None:
    """Open /dev/null in place of closed standard streams, before another file gets their number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
            if getattr(sys, name) is None:
                setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", closefd=False))  # noqa: SIM115
