"""Compare runs: comparable groups, rows of equal configurations, ranking and tests of significance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textloom.errors import RunError
from textloom.evaluation.adaptation import adapts
from textloom.evaluation.baselines import counting_figures
from textloom.reports.collect import Record, read_records, require_metric
from textloom.reports.group import by_protocol, headings
from textloom.reports.metrics import is_quality, lower_is_better
from textloom.reports.samples import memorization_figures
from textloom.reports.statistics import SIGNIFICANCE, Spread, against_constant, holm, welch

STATIC = "counting models do not adapt to the text: they are ranked with the figures of models that do not either"


@dataclass(frozen=True)
class Row:
    """One configuration with all its seeds, or an n-gram baseline."""

    setting: dict[str, Any]
    """Config keys."""
    figures: dict[str, Spread]
    """Figures by their names in results.json, and those of samples."""
    records: tuple[Record, ...] = ()
    """The runs, one for each seed; empty for a baseline that is not a run."""
    is_ngram: bool = False
    """True for an n-gram model."""
    verdict: str = ""
    """The result of the test against the best row."""
    against_counting: str = ""
    """The comparison with the best n-gram model."""

    @property
    def seeds(self) -> int:
        """The number of runs."""
        return len(self.records)

    def values(self) -> dict[str, Any]:
        """Seeds, mean and standard deviation of every figure, and verdicts, by the names of columns."""
        means = {name: spread.mean for name, spread in self.figures.items()}
        deviations = {f"{name}/std": spread.deviation for name, spread in self.figures.items()}
        verdicts = {"verdict": self.verdict, "against_counting": self.against_counting}
        return {"seeds": self.seeds, **means, **deviations, **verdicts}


@dataclass(frozen=True)
class Group:
    """Comparable rows, the best first."""

    heading: str
    keys: tuple[str, ...]
    """The config keys in which the rows differ."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    all_columns: bool = False
    """True to show figures that are of interest now and then, too."""


@dataclass(frozen=True)
class Unranked:
    """A run without a final figure to rank by."""

    directory: Path
    status: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A whole comparison, which a report renders."""

    metric: str
    groups: tuple[Group, ...]
    unranked: tuple[Unranked, ...] = field(default=())


def compare_runs(directories: Iterable[Path], metric: str = "val/bits_per_char", all_keys: bool = False) -> Comparison:
    """Read, group, rank and test runs; ``all_keys`` includes varying keys that change no results.

    Raises ConfigError for a metric that no run has, RunError if every run is damaged.
    """
    records, damaged = read_records(directories)
    if damaged and not records:
        raise RunError("\n".join(damaged.values()))
    require_metric(metric, records)
    ranked = [record for record in records if record.completed and metric in record.results]
    ranked, repeated = _newest_of_each_seed(ranked)
    groups = by_protocol(ranked, metric)
    titles = headings(groups)
    unranked = [Unranked(directory, "damaged", reason) for directory, reason in damaged.items()]
    for record in records:
        if record in repeated and not record.evaluated:
            unranked.append(Unranked(record.run.directory, "repeated", "a newer run has its configuration and seed"))
        elif record not in ranked and not record.evaluated:
            reason = f"has no {metric}" if record.completed else record.error or ""
            unranked.append(Unranked(record.run.directory, record.status, reason))
    ordered = sorted(groups, key=lambda protocol: -len(groups[protocol]))
    made = (_group(titles[protocol], groups[protocol], metric, all_keys) for protocol in ordered)
    return Comparison(metric, tuple(made), tuple(unranked))


def _newest_of_each_seed(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """The newest run of each configuration and seed, and the older repetitions: they are not further samples."""
    newest: dict[object, Record] = {}
    for record in records:  # oldest first
        newest[record.fingerprint, record.method, _hashable(record.setting), record.config.get("seed")] = record
    kept = list(newest.values())
    return kept, [record for record in records if record not in kept]


def _hashable(setting: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, repr(value)) for key, value in setting.items()))


def _group(heading: str, members: list[Record], metric: str, all_keys: bool) -> Group:
    rows = _seeds_together(members)
    counted, notes = _counting_rows(members) if not adapts(members[0].method) else ([], [STATIC])
    rows = [row for row in [*rows, *counted] if metric in row.figures]
    sign = 1 if lower_is_better(metric) else -1
    rows.sort(key=lambda row: sign * row.figures[metric].mean)
    keys = _varying([row.setting for row in rows])
    if all_keys:
        configs = [record.config for record in members]
        keys = _varying([*configs, *(row.setting for row in rows)])
        rows = [replace(row, setting=_whole_setting(row)) for row in rows]
    rows, tests = _judged(rows, metric)
    said = [_stopped(members), tests, *notes]
    return Group(heading, keys, tuple(rows), tuple(note for note in said if note), all_keys)


def _stopped(members: list[Record]) -> str | None:
    stopped = [str(record.run.directory) for record in members if record.status == "stopped"]
    return f"stopped by trainer.max_time, and perhaps not at their best: {', '.join(stopped)}" if stopped else None


def _seeds_together(members: list[Record]) -> list[Row]:
    alike: dict[object, list[Record]] = {}
    for record in members:
        alike.setdefault(_hashable(record.setting), []).append(record)
    return [_row(records) for records in alike.values()]


def _row(records: list[Record]) -> Row:
    measured = [{**record.results, **memorization_figures(record.run)} for record in records]
    names = set.intersection(*(set(found) for found in measured))
    figures = {name: Spread(tuple(float(found[name]) for found in measured)) for name in sorted(names)}
    return Row(records[0].setting, figures, tuple(records), records[0].is_ngram)


def _varying(settings: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The keys with different values among the settings that have them, in the order of the config."""
    keys = dict.fromkeys(key for setting in settings for key in setting)
    return tuple(key for key in keys if len({repr(setting[key]) for setting in settings if key in setting}) > 1)


def _whole_setting(row: Row) -> dict[str, Any]:
    """All config keys of a row's runs; a key in which they differ has a list of its values."""
    values: dict[str, list[Any]] = {}
    for record in row.records:
        for key, value in record.config.items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()} | row.setting


def _counting_rows(members: list[Record]) -> tuple[list[Row], list[str]]:
    """The baselines for each tokenizer of the group, except those that are runs of the group, and notes."""
    rows, notes = [], []
    tokenizers = {record.tokenizer: record for record in members}
    for tokenizer, record in tokenizers.items():
        own = [member for member in members if member.is_ngram and member.tokenizer == tokenizer]
        try:
            figures = counting_figures(record.run, with_ngrams=not own)
        except RunError as error:
            notes.append(f"without counting rows: {error}")
            continue
        for name, found in figures.items():
            spreads = {key: Spread((value,)) for key, value in found.items()}
            rows.append(Row({**dict(tokenizer), "model.cell": name}, spreads, is_ngram=True))
    return rows, notes


# --- testing --------------------------------------------------------------------------------------------------------


def _judged(rows: list[Row], metric: str) -> tuple[list[Row], str | None]:
    """The rows with their verdicts, and a note on the tests."""
    trained = [row for row in rows if not row.is_ngram]
    counted = [row for row in rows if row.is_ngram]
    if not trained:
        return [replace(row, verdict="counting") for row in rows], None
    best = trained[0]
    p_values = {id(row): welch(best.figures[metric], row.figures[metric]) for row in trained[1:]}
    asked = [key for key, p in p_values.items() if p is not None]
    adjusted = dict(zip(asked, holm([p for p in p_values.values() if p is not None]), strict=True))
    judged = []
    for row in rows:
        if row.is_ngram:
            verdict = "counting"
        elif row is best:
            verdict = "best"
        elif id(row) in adjusted:
            verdict = _beyond_noise(adjusted[id(row)])
        else:
            verdict = _cannot_tell(best.figures[metric], row.figures[metric])
        beaten = counted and not row.is_ngram and is_quality(metric)
        against = _against_counting(row, counted[0], metric) if beaten else ""
        judged.append(replace(row, verdict=verdict, against_counting=against))
    return judged, _how(len(adjusted)) if adjusted else None


def _beyond_noise(p: float) -> str:
    shown = "p<0.001" if p < 0.001 else f"p={p:.2g}"
    return f"worse ({shown})" if p < SIGNIFICANCE else f"within noise ({shown})"


def _cannot_tell(best: Spread, other: Spread) -> str:
    if len(other.values) == 1:
        return "one seed: cannot tell"
    return "best has only one seed" if len(best.values) == 1 else "no spread: cannot tell"


def _against_counting(row: Row, counted: Row, metric: str) -> str:
    name = counted.setting["model.cell"]
    own, other = row.figures[metric], counted.figures[metric].mean
    if (own.mean >= other) if lower_is_better(metric) else (own.mean <= other):
        return f"does not beat {name}"
    p = against_constant(own, other)
    return f"beats {name}" + (", within noise" if p is not None and p >= SIGNIFICANCE else "")


def _how(tests: int) -> str:
    many = f", adjusted by Holm for {tests} comparisons" if tests > 1 else ""
    return (
        f"p: Welch's t-test over seeds against the best row{many}; below {SIGNIFICANCE:g} is beyond noise. "
        "The best row was chosen by these figures, so its mean is slightly too good."
    )
