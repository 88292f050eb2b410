"""A comparison in each format of ``compare``; CSV, Markdown and JSON are here."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from typing import Any

from textloom.config.values import value_text
from textloom.reports.compare import Comparison, Row
from textloom.reports.table import TextTable, table_of, unranked_table
from textloom.reports.text import render_text

WITHOUT_A_TERMINAL = 120  # columns


def render(comparison: Comparison, form: str, bounded: bool = True) -> str:
    """The comparison as text for standard output; ``bounded`` fits the table to the terminal's width."""
    if form == "text":
        return render_text(comparison, shutil.get_terminal_size((WITHOUT_A_TERMINAL, 24)).columns if bounded else None)
    if form == "html":
        from textloom.reports.html import render_html  # imports TensorBoard, which is slow

        return render_html(comparison)
    renderers: dict[str, Callable[[Comparison], str]] = {
        "csv": render_csv,
        "md": render_markdown,
        "json": render_json,
    }
    return renderers[form](comparison)


def render_csv(comparison: Comparison) -> str:
    """One table of all groups, with a column for every key and figure, in full precision."""
    keys = dict.fromkeys(key for group in comparison.groups for key in group.keys)
    rows = [row for group in comparison.groups for row in group.rows]
    figures = sorted({name for row in rows for name in row.figures})
    measured = [name + ending for name in figures for ending in ("", "/std")]
    columns = ["group", *keys, "seeds", *measured, "verdict", "against_counting", "status", "runs"]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for group in comparison.groups:
        for row in group.rows:
            setting = {key: value_text(row.setting[key]) for key in keys if key in row.setting}
            status = "completed" if row.seeds else ""
            ends = {"group": group.heading, "status": status, "runs": " ".join(_runs(row))}
            writer.writerow({**setting, **row.values(), **ends})  # None is an empty cell
    for run in comparison.unranked:
        writer.writerow({"runs": str(run.directory), "status": run.status, "verdict": run.reason})
    return file.getvalue().rstrip("\n")


def render_markdown(comparison: Comparison) -> str:
    """Render a heading and a table for each group."""
    parts = []
    for group in comparison.groups:
        parts += [f"## {_escaped(group.heading)}", _markdown(table_of(group, comparison.metric))]
        parts += [_escaped(note) for note in group.notes]
    if comparison.unranked:
        parts.append(_markdown(unranked_table(comparison)))
    return "\n\n".join(parts)


def render_json(comparison: Comparison) -> str:
    """Render everything: settings, all figures of all seeds, directories, verdicts."""
    groups = [
        {
            "heading": group.heading,
            "keys": group.keys,
            "notes": group.notes,
            "rows": [_as_json(row) for row in group.rows],
        }
        for group in comparison.groups
    ]
    unranked = [{"run": str(run.directory), "status": run.status, "reason": run.reason} for run in comparison.unranked]
    content = {"metric": comparison.metric, "groups": groups, "not_ranked": unranked}
    return json.dumps(content, indent=2, ensure_ascii=False)


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "setting": row.setting,
        "counting": row.is_ngram,
        "seeds": [record.config.get("seed") for record in row.records],
        "figures": {
            name: {"mean": spread.mean, "std": spread.deviation, "values": spread.values}
            for name, spread in row.figures.items()
        },
        "verdict": row.verdict,
        "against_counting": row.against_counting,
        "runs": _runs(row),
    }


def _runs(row: Row) -> list[str]:
    return [str(record.run.directory) for record in row.records]


def _markdown(table: TextTable) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(_escaped, cells))} |" for cells in lines)


def _escaped(text: str) -> str:
    """Escape Markdown."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split()) if "---" not in text else text
