"""What reading found out about the files: logged when it is found, kept to be logged again where a cache answers."""

import logging

log = logging.getLogger(__name__)


class Notes:
    """Lines for the log with their levels, each once."""

    def __init__(self, lines: dict[str, int] | None = None) -> None:
        self.lines = dict(lines or {})

    def info(self, line: str) -> None:
        """Note something that the user may want to know."""
        self._add(line, logging.INFO)

    def warn(self, line: str) -> None:
        """Note something that the user should look at."""
        self._add(line, logging.WARNING)

    def repeat(self) -> None:
        """Log all lines."""
        for line, level in self.lines.items():
            log.log(level, "%s", line)

    def _add(self, line: str, level: int) -> None:
        if line not in self.lines:
            self.lines[line] = level
            log.log(level, "%s", line)


def counted(count: int, unit: str) -> str:
    """A number of things: "1 row", "2,000 rows"."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
