"""Standard output and error that raise no error, whatever the encoding, with the pipe closed or the disk full."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

NOBODY_READS = (errno.EPIPE, errno.EIO)
"""Errors of writing to a pipe whose reader has ended, such as head, or to a closed terminal."""


class LossyFile(io.FileIO):
    """A file descriptor whose first error is remembered; what is written after it is dropped."""

    error: OSError | None = None

    def write(self, data: "io.ReadableBuffer", /) -> int:  # type: ignore[name-defined]
        """The number of bytes, written or dropped."""
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Within this, nothing that is printed can raise an error: characters that the encoding lacks become \\\\uXXXX.

    At the end, a standard output that lost text other than into a closed pipe is named in one line, with exit status 1.
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
                print(f"standard output: {lost.strerror}; what was to be printed is not complete", file=sys.stderr)
                sys.exit(1)
    finally:
        for stream in (stdout, stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _tolerant(stream: TextIO) -> io.TextIOWrapper | None:
    """The same stream, but lossy; None for one that is no file, as in a notebook, or that is lossy already."""
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
    """Open /dev/null in place of standard streams that were closed, before another file gets their number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
            if getattr(sys, name) is None:
                setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", closefd=False))  # noqa: SIM115
