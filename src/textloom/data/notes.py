"""Findings about a source: logged when they are made, and kept so that the cache can log them again."""

import logging

log = logging.getLogger(__name__)


class Notes:
    """Log lines and their levels, each line once."""

    def __init__(self, lines: dict[str, int] | None = None) -> None:
        self.lines = dict(lines or {})

    def info(self, line: str) -> None:
        """Log a line of information, unless it has been logged."""
        self._add(line, logging.INFO)

    def warn(self, line: str) -> None:
        """Log a warning, unless it has been logged."""
        self._add(line, logging.WARNING)

    def repeat(self) -> None:
        """Log all lines again."""
        for line, level in self.lines.items():
            log.log(level, "%s", line)

    def _add(self, line: str, level: int) -> None:
        if line not in self.lines:
            self.lines[line] = level
            log.log(level, "%s", line)


def counted(count: int, unit: str) -> str:
    """A number with its unit: "1 row", "2,000 rows"."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
