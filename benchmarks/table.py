"""RESULTS.md: what was measured where, as tables."""

from typing import Any

from benchmarks.rows import Row

HEAD = """# Results

Written by `make bench`; `make bench ONLY=training` measures one of the benchmarks again. Each ratio was measured side
by side in one run, in turns; figures are medians. A star at a commit: files differed from it.
"""


def render(machines: list[dict[str, Any]]) -> str:
    """The whole file, from what ``results.json`` holds."""
    parts = [HEAD]
    measured = {row.work for one in machines for row in _rows(one) if row.ratio is not None}
    for number, one in enumerate(machines, 1):
        parts.append(f"## Machine {number}: {one['machine']['processor']}, GPU: {one['machine']['GPU']}\n")
        parts.append("".join(f"- {name}: {value}\n" for name, value in {**one["machine"], **one["ceilings"]}.items()))
        for name, benchmark in sorted(one["benchmarks"].items()):
            rows = [Row(**row) for row in benchmark["rows"]]
            parts.append(f"### {name} ({benchmark['date']}, commit {benchmark['commit']})\n")
            parts.append(_table([row for row in rows if row.ratio is not None]))
    missing = {row.work: row.note for one in machines for row in _rows(one) if row.work not in measured}
    if missing:
        parts.append("## Not measured\n")
        parts.append("".join(f"- {work}: {why}\n" for work, why in missing.items()))
    return "\n".join(parts)


def _rows(machine: dict[str, Any]) -> list[Row]:
    return [Row(**row) for benchmark in machine["benchmarks"].values() for row in benchmark["rows"]]


def _table(rows: list[Row]) -> str:
    lines = ["| work | against | ours | theirs | unit | ratio | must be | |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        must = "" if row.must is None else f"{'<=' if row.at_most else '>='} {row.must:g}"
        verdict = {True: "reached", False: "**missed**", None: ""}[row.reached]
        figures = [_short(row.ours), _short(row.theirs), row.unit, _short(row.ratio), must]
        lines.append("| " + " | ".join([row.work, row.against, *figures, " ".join([verdict, row.note]).strip()]) + " |")
    return "\n".join(lines) + "\n"


def _short(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
