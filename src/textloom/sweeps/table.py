"""The table of a sweep's trials, on the terminal and in a file, updated while the sweep runs."""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.utils import disp_trim

from textloom.reports.collect import Record, read_records
from textloom.reports.group import by_protocol, headings
from textloom.reports.metrics import directions, is_per_target, pareto_front
from textloom.sweeps.trials import State, Trial
from textloom.system.columns import column_count
from textloom.system.files import write_text
from textloom.system.progress import Stage, is_drawing, say

ORDER: tuple[State, ...] = ("completed", "running", "pruned", "failed", "interrupted", "waiting")


@dataclass
class TrialTable:
    """The trials of a sweep, in the order in which they were chosen."""

    directory: Path
    metrics: tuple[str, ...]
    total: int
    parallel: int
    whole: bool
    """True if the terminal shows all trials, instead of a summary above the progress of the running one."""
    trials: list[Trial] = field(default_factory=list)
    _records: "dict[Path, Record]" = field(default_factory=dict)
    _groups: "dict[frozenset[Path], list[tuple[str, list[Trial]]]]" = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """The display on the terminal."""
        return _TableStage(self)

    @property
    def file(self) -> Path:
        """The file with the current table."""
        return self.directory / "table.txt"

    def changed(self, trial: Trial | None = None) -> None:
        """Write the file, and print the new state of a trial unless the terminal shows the whole table."""
        write_text(self.file, f"{self}\n")
        drawing = is_drawing()
        if trial is not None and trial.state != "waiting" and not (self.whole and drawing):
            reason = f": {trial.error}" if trial.error else ""
            figures = f" ({', '.join(f'{value:.4f}' for value in trial.values)})" if trial.values else ""
            say(f"{trial.state}: {trial.name}{figures}{reason}" + ("" if drawing else f"\n{self.summary()}"))

    def summary(self) -> str:
        """One line: the number of trials in each state, the best one, the time left."""
        counts = Counter(trial.state for trial in self.trials)
        counts["waiting"] = self.total - sum(counts[state] for state in ORDER if state != "waiting")
        states = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state] > 0)
        left = self._seconds_left(counts)
        return f"{self.total} trials: {states}" + ("" if left is None else f"; about {clock(left)} left")

    def winners(self) -> list[Trial]:
        """The best trials so far of each comparable group: with several metrics, the Pareto front."""
        return [trial for _, winners in self._best() for trial in winners]

    def verdict(self) -> list[str]:
        """Lines that name the best trials, or the reason why there is none."""
        named = [(heading, ", ".join(trial.name for trial in winners)) for heading, winners in self._best()]
        if len(self._comparable()) == 1:
            return [f"best: {names}" for _, names in named]
        reason = ["no best of all: the trials were not scored on the same text in the same way"]
        return [*(reason if self._comparable() else []), *(f"best of {heading}: {names}" for heading, names in named)]

    def _best(self) -> list[tuple[str, list[Trial]]]:
        """The best trials of each group; a group with a single trial has none, unless it is the only group."""
        groups = self._comparable()
        return [
            (heading, [trials[index] for index in pareto_front([trial.values or () for trial in trials], self.metrics)])
            for heading, trials in groups
            if len(groups) == 1 or len(trials) > 1
        ]

    def _comparable(self) -> list[tuple[str, list[Trial]]]:
        """The completed trials in groups scored on the same text in the same way, with their headings."""
        completed = {trial.directory: trial for trial in self.trials if trial.values is not None}
        if len(completed) < 2:
            return [("", list(completed.values()))] if completed else []
        known = frozenset(completed)
        if known not in self._groups:
            self._groups = {known: self._grouped(completed)}
        return self._groups[known]

    def _grouped(self, completed: dict[Path, Trial]) -> list[tuple[str, list[Trial]]]:
        for directory in completed.keys() - self._records.keys():
            self._records.update((record.run.directory, record) for record in read_records([directory])[0])
        records = [self._records[directory] for directory in completed if directory in self._records]
        metric = next((metric for metric in self.metrics if is_per_target(metric)), self.metrics[0])
        groups = by_protocol(records, metric)
        names = headings(groups)
        return [
            (names[protocol], [completed[record.run.directory] for record in members])
            for protocol, members in groups.items()
        ]

    def __str__(self) -> str:
        return self.text()

    def text(self, columns: int | None = None) -> str:
        """The table; names that are wider than the columns allow are wrapped between keys."""
        head = f"{self.directory}: {self.summary()}"
        fits = columns is None or column_count(head) <= columns
        lines = [*([head] if fits else [f"{self.directory}:", self.summary()]), *self._rows(columns)]
        for trial in self.trials:
            if trial.state == "failed":
                lines += ["", f"failed: {trial.name}", f"  {trial.error}", f"  log: {trial.log_file}"]
        return "\n".join(lines)

    def _rows(self, columns: int | None) -> list[str]:
        winners = self.winners()
        rows = [["", *self.metrics, "state", "time", "trial"]]
        for trial in sorted(self.trials, key=self._rank):
            figures = [f"{value:.4f}" for value in trial.values] if trial.values else ["-"] * len(self.metrics)
            name = (
                f"{trial.name}: {trial.error}"
                if trial.state in ("pruned", "interrupted") and trial.error
                else trial.name
            )
            rows.append(["*" if trial in winners else "", *figures, trial.state, _took(trial), name])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
        before = sum(widths) + 2 * len(widths)
        lines = []
        for *cells, name in rows:
            start = "".join(f"{cell:{width}}  " for cell, width in zip(cells, widths, strict=True))
            for piece in [name] if columns is None else _pieces(name, columns - before):
                lines.append(f"{start}{piece}".rstrip())
                start = " " * before
        return lines

    def _rank(self, trial: Trial) -> tuple[int, float, int]:
        sign = 1.0 if directions(self.metrics)[0] == "minimize" else -1.0
        return ORDER.index(trial.state), sign * trial.values[0] if trial.values else 0.0, trial.number

    def _seconds_left(self, counts: Counter[State]) -> float | None:
        """The remaining time, from the trials of this call; None until one of them has ended."""
        over = [trial for trial in self.trials if trial.state in ("completed", "pruned")]
        took = [seconds for trial in over if (seconds := trial.wall or trial.seconds) is not None]
        ahead = counts["waiting"] + counts["interrupted"] + counts["running"]
        if not took or not ahead:
            return None
        mean = sum(took) / len(took)
        under_way = sum(min(_seconds(trial), mean) for trial in self.trials if trial.state == "running")
        return max(0.0, ahead * mean - under_way) / min(self.parallel, ahead)


class _TableStage(Stage):
    """Displays the table, or its summary."""

    stays = True

    def __init__(self, table: TrialTable):
        super().__init__("sweep")
        self.table = table

    def line(self, columns: int, ascii_only: bool = False) -> str:
        """One line for each trial, or the summary."""
        text = self.table.text(columns) if self.table.whole else self.table.summary()
        return "\n".join(str(disp_trim(line, columns)) for line in text.splitlines())


def _pieces(name: str, width: int) -> list[str]:
    """Wrap a name, only after commas and blanks."""
    lines = [""]
    for piece in re.findall(r"[^, ]*[, ]?", name):
        if lines[-1] and column_count(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def _seconds(trial: Trial) -> float:
    if trial.seconds is not None:
        return trial.seconds
    return time.monotonic() - trial.started if trial.started is not None and trial.state == "running" else 0.0


def _took(trial: Trial) -> str:
    seconds = _seconds(trial)
    return clock(seconds) if seconds else "-"


def clock(seconds: float) -> str:
    """A duration as ``M:SS``, or ``H:MM:SS`` from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
