"""The log of one run, written without changing how the rest of the process logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append to a file, within the context, everything that textloom logs at INFO or above.

    The handlers of the caller get the same records as without it.
    """
    logger = logging.getLogger("textloom")
    file = logging.FileHandler(path, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter(FORMAT))
    level, handlers, propagate = logger.level, logger.handlers, logger.propagate
    caller = _Caller(logger)
    logger.handlers, logger.propagate = [file, caller], False
    logger.setLevel(min(logging.INFO, caller.level))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate
        file.close()


class _Caller(logging.Handler):
    """Hands a record to the handlers that a logger had, and to those above it."""

    def __init__(self, logger: logging.Logger):
        super().__init__(logger.getEffectiveLevel())
        self.own = [*logger.handlers]
        self.propagates = logger.propagate

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a record as the logger would have."""
        for handler in self.own:
            if record.levelno >= handler.level:
                handler.handle(record)
        if self.propagates and (logging.root.handlers or not self.own):
            logging.root.callHandlers(record)
