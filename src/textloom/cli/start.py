"""The entry point of every command: Ctrl-C and SIGTERM end it in one line, also while its modules are imported."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def start(command: str | None = None) -> None:
    """Run a command with the arguments of this process; without a name, the first argument is the name."""
    arguments = sys.argv[1:]
    try:
        from textloom.cli.commands import main  # here, so that Ctrl-C during the imports is caught too

        with _sigterm_like_ctrl_c():
            main(arguments if command is None else [command, *arguments])
    except (KeyboardInterrupt, Exception) as error:
        if not _is_interrupt(error):
            raise
        print("stopped", file=sys.stderr)
        sys.exit(130)


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that nothing half-written is left; training has a handler of its own later.

    Where Ctrl-C is ignored, as in the background of a script, SIGTERM ends the process at once.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    usual = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    if usual != (signal.SIG_DFL, signal.default_int_handler):
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_interrupt(error: BaseException | None) -> bool:
    """True for a KeyboardInterrupt, and for an error raised while cleaning up after one."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__context__))
