"""Run the benchmarks, or those named, and write the table: ``python -m benchmarks [--quick] [NAME ...]``.

A benchmark is a file here with ``main(quick)`` that gives back rows. What is measured stays in ``results.json``, by
machine, until it is measured again there; ``RESULTS.md`` shows all of it.
"""

import argparse
import importlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import ceilings, commit, machine
from benchmarks.rows import Row
from benchmarks.table import render

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Files here that have a ``main(quick)``."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if "\ndef main(quick: bool" in file.read_text("utf-8"))


def run(chosen: list[str], folder: Path, quick: bool) -> None:
    """Measure, one benchmark after the other, and write both files after each."""
    here = machine()
    store = folder / "results.json"
    machines = json.loads(store.read_text("utf-8")) if store.exists() else []
    found = next((one for one in machines if one["machine"] == here), None)
    if found is None:
        found = {"machine": here, "ceilings": {}, "benchmarks": {}}
        machines.append(found)
    found["ceilings"] = ceilings(quick)
    for name in chosen:
        print(f"--- {name}", flush=True)
        rows: list[Row] = []
        for row in importlib.import_module(f"benchmarks.{name}").main(quick):
            print(row, flush=True)
            rows.append(row)
        found["benchmarks"][name] = {
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "rows": [asdict(row) for row in rows],
        }
        store.write_text(json.dumps(machines, indent=1) + "\n", encoding="utf-8")
        (folder / "RESULTS.md").write_text(render(machines), encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; none: all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run: no figure to keep")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of results.json and RESULTS.md")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names()):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if given.quick and given.to == FOLDER:
        parser.error("--quick measures nothing worth keeping; give --to=FOLDER for what it writes")
    run(given.names or names(), given.to, given.quick)


if __name__ == "__main__":
    main()
