"""What a sweep says while it runs: a table of its trials, on the terminal and as a file that is always up to date."""

import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from textloom.files import write_text
from textloom.sweeps.metrics import best, directions
from textloom.sweeps.trials import State, Trial

ORDER: tuple[State, ...] = ("completed", "running", "pruned", "failed", "cut", "waiting")
SECONDS_BETWEEN_REDRAWS = 1.0
REPLACE = "\x1b[{lines}F\x1b[J"  # to the first of so many lines, and clear what is below


@dataclass
class Table:
    """The trials of a sweep, in the order in which they were chosen."""

    directory: Path
    metrics: tuple[str, ...]
    total: int
    parallel: int
    in_place: bool
    """Whether to redraw the table where it stands; else each trial that ends gets a line."""
    trials: list[Trial] = field(default_factory=list)
    _drawn_lines: int = 0
    _drawn_at: float = 0.0

    @property
    def file(self) -> Path:
        """The table as it is now."""
        return self.directory / "table.txt"

    def changed(self, trial: Trial | None = None) -> None:
        """Write the file; say what became of a trial."""
        write_text(self.file, f"{self}\n")
        if self.in_place:
            self._redraw()
        elif trial is not None and trial.state != "waiting":
            reason = f": {trial.error}" if trial.error else ""
            figures = f" ({', '.join(f'{value:.4f}' for value in trial.values)})" if trial.values else ""
            print(f"{trial.state}: {trial.name}{figures}{reason}\n{self.summary()}", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Time goes on."""
        if self.in_place and time.monotonic() - self._drawn_at >= SECONDS_BETWEEN_REDRAWS:
            self._redraw()

    def summary(self) -> str:
        """One line: how many are in which state, the best so far, the time left."""
        counts = Counter(trial.state for trial in self.trials)
        counts["waiting"] = self.total - sum(counts[state] for state in ORDER if state != "waiting")
        states = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state] > 0)
        left = self._seconds_left(counts)
        return f"{self.total} trials: {states}" + ("" if left is None else f"; about {clock(left)} left")

    def winners(self) -> list[Trial]:
        """The best so far: with several metrics, all that no other beats in each."""
        completed = [trial for trial in self.trials if trial.values is not None]
        return [completed[index] for index in best([t.values or () for t in completed], self.metrics)]

    def __str__(self) -> str:
        lines = [f"{self.directory}: {self.summary()}", *self._rows()]
        for trial in self.trials:
            if trial.state == "failed":
                lines += ["", f"failed: {trial.name}", f"  {trial.error}", f"  log: {trial.log_file}"]
        return "\n".join(lines)

    def _rows(self) -> list[str]:
        winners = self.winners()
        rows = [["", *self.metrics, "state", "time", "trial"]]
        for trial in sorted(self.trials, key=self._rank):
            figures = [f"{value:.4f}" for value in trial.values] if trial.values else ["-"] * len(self.metrics)
            name = f"{trial.name}: {trial.error}" if trial.state in ("pruned", "cut") and trial.error else trial.name
            rows.append(["*" if trial in winners else "", *figures, trial.state, _took(trial), name])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

    def _rank(self, trial: Trial) -> tuple[int, float, int]:
        sign = 1.0 if directions(self.metrics)[0] == "minimize" else -1.0
        return ORDER.index(trial.state), sign * trial.values[0] if trial.values else 0.0, trial.number

    def _seconds_left(self, counts: Counter[State]) -> float | None:
        """From how long the trials of this call took; None before one of them has ended."""
        took = [trial.seconds for trial in self.trials if trial.seconds is not None and trial.state != "failed"]
        ahead = counts["waiting"] + counts["cut"] + counts["running"]
        if not took or not ahead:
            return None
        mean = sum(took) / len(took)
        under_way = sum(min(_seconds(trial), mean) for trial in self.trials if trial.state == "running")
        return max(0.0, ahead * mean - under_way) / min(self.parallel, ahead)

    def _redraw(self) -> None:
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in str(self).splitlines()[: size.lines - 2]]
        clear = REPLACE.format(lines=self._drawn_lines) if self._drawn_lines else ""
        print(clear + "\n".join(lines), file=sys.stderr, flush=True)
        self._drawn_lines, self._drawn_at = len(lines), time.monotonic()


def _seconds(trial: Trial) -> float:
    if trial.seconds is not None:
        return trial.seconds
    return time.monotonic() - trial.started if trial.started is not None and trial.state == "running" else 0.0


def _took(trial: Trial) -> str:
    seconds = _seconds(trial)
    return clock(seconds) if seconds else "-"


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
