"""Run the benchmarks, or those named, and write the table: ``python -m benchmarks [--quick] [NAME ...]``.

A benchmark is a file here with ``main(quick)`` that returns rows. Results stay in ``results.json``, by machine, until
they are measured again there; ``RESULTS.md`` shows all of them. ``--accelerator=gpu`` measures the rows of the GPU
alone, in less than five minutes.
"""

import argparse
import importlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import gpu
from benchmarks.machine import ceilings, commit, machine
from benchmarks.rows import Row
from benchmarks.table import render

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Files here that have a ``main(quick)``."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if "\ndef main(quick: bool" in file.read_text("utf-8"))


class Results:
    """``results.json`` and ``RESULTS.md`` in a folder, and what was measured on this machine."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.store = folder / "results.json"
        self.machines = json.loads(self.store.read_text("utf-8")) if self.store.exists() else []
        here = machine()
        found = next((one for one in self.machines if one["machine"] == here), None)
        if found is None:
            found = {"machine": here, "ceilings": {}, "benchmarks": {}}
            self.machines.append(found)
        self.here: dict[str, Any] = found

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Set the rows of a benchmark, and write both files."""
        self.here["benchmarks"][name] = {
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "rows": rows,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store.write_text(json.dumps(self.machines, indent=1) + "\n", encoding="utf-8")
        (self.folder / "RESULTS.md").write_text(render(self.machines), encoding="utf-8")

    def replace(self, name: str, row: Row) -> None:
        """Set one row of a benchmark, in the place of the row for the same work, and write both files."""
        rows = self.here["benchmarks"].get(name, {"rows": []})["rows"]
        others = [one for one in rows if (one["work"], one["against"]) != (row.work, row.against)]
        self.write(name, [*others, asdict(row)])


def run(chosen: list[str], folder: Path, quick: bool) -> None:
    """Measure, one benchmark after the other, and write both files after each."""
    results = Results(folder)
    results.here["ceilings"] = ceilings(quick)
    for name in chosen:
        print(f"--- {name}", flush=True)
        rows: list[Row] = []
        for row in importlib.import_module(f"benchmarks.{name}").main(quick):
            print(row, flush=True)
            rows.append(row)
        results.write(name, [asdict(row) for row in rows])


def run_on_gpu(folder: Path, quick: bool) -> None:
    """Measure the rows of the GPU, the most telling first, and write both files after each."""
    results = Results(folder)
    results.here["ceilings"] |= ceilings(quick, ["cuda"])
    for benchmark, row in gpu.measured(gpu.measurements(quick)):
        print(row, flush=True)
        results.replace(benchmark, row)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; none: all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run: no figure to keep")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of results.json and RESULTS.md")
    parser.add_argument("--accelerator", choices=["gpu"], help="gpu: the rows of the GPU alone, in under five minutes")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names()):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if given.quick and given.to == FOLDER:
        parser.error("--quick measures nothing worth keeping; give --to=FOLDER for what it writes")
    if given.accelerator is None:
        run(given.names or names(), given.to, given.quick)
        return
    if given.names:
        parser.error("--accelerator=gpu has rows of its own; leave out the names")
    if not gpu.is_here():
        parser.error("--accelerator=gpu: there is no GPU here; leave it out")
    run_on_gpu(given.to, given.quick)


if __name__ == "__main__":
    main()
