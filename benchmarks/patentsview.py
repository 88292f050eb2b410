"""How fast patents are selected from PatentsView's zipped tables, and in how much memory.

    python -m benchmarks patentsview
    python -m benchmarks.patentsview --megabytes 6200

Makes synthetic tables of the real form (about 680 bytes a patent; one in a hundred speaks of neural networks), selects
from them in a fresh process, and prints MB/s of TSV, all passes counted, and the process's peak resident memory. The
real g_patent_abstract.tsv has 6,200 MB.
"""

import argparse
import csv
import io
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmarks.rows import Row, in_turns
from textloom.data.patentsview.selection import TITLES_AT_ONCE, _matches
from textloom.data.patentsview.tables import stream_table

ROWS_AT_ONCE = 2000
EXPRESSION = r"\bneural[\s-]+network\w*\b"

MEASURE = """
import json, sys, time
from pathlib import Path
from textloom.config.patents import PatentSelection
from textloom.system.memory import peak_resident_bytes
from textloom.data.patentsview.selection import select
folder, keys = Path(sys.argv[1]), json.loads(sys.argv[2])
began, cpu = time.perf_counter(), time.process_time()
rows = select(PatentSelection(source="odp", **keys), folder, folder / "selected.parquet")
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
size = (folder / "selected.parquet").stat().st_size
peak = peak_resident_bytes()
print(json.dumps({"rows": rows, "seconds": seconds, "cpu_seconds": cpu, "parquet_bytes": size, "peak_bytes": peak}))
"""


def make_tables(folder: Path, megabytes: float) -> dict[str, int]:
    """Write the three tables with so many megabytes of abstracts; the bytes of TSV in each."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 11))) for _ in range(20_000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(50, 130))) for _ in range(4000)]
    texts = [f'{text} a ""neural"" kind\nof neural networks' if i % 100 == 0 else text for i, text in enumerate(texts)]
    patents = int(megabytes * 1e6 / (sum(map(len, texts)) / len(texts) + 16))

    def abstracts(number: int) -> str:
        return f'"{10_000_000 + number}"\t"{draw.choice(texts)}"\n'

    def patent(number: int) -> str:
        title = " ".join(draw.choices(words, k=8))
        day = f"{1976 + number % 50}-0{1 + number % 9}-02"
        return (
            f'"{10_000_000 + number}"\t"utility"\t"{day}"\t"{title}"\t"B2"\t20\t{int(number % 500 == 0)}\t"ipg.xml"\n'
        )

    def classes(number: int) -> str:
        group = draw.choice(["G06N3/08", "G06F17/30", "H04L9/40", "A61K31/00"])
        row = f'"{group[0]}"\t"{group[:3]}"\t"{group[:4]}"\t"{group}"\t"inventional"'
        return "".join(f'"{10_000_000 + number}"\t{sequence}\t{row}\n' for sequence in range(4))

    headers = {
        "g_patent": "patent_id patent_type patent_date patent_title wipo_kind num_claims withdrawn filename",
        "g_patent_abstract": "patent_id patent_abstract",
        "g_cpc_current": "patent_id cpc_sequence cpc_section cpc_class cpc_subclass cpc_group cpc_type",
    }
    rows = {"g_patent": patent, "g_patent_abstract": abstracts, "g_cpc_current": classes}
    return {
        name: _write(folder / f"{name}.tsv.zip", header.split(), (rows[name](number) for number in range(patents)))
        for name, header in headers.items()
    }


def _write(path: Path, header: list[str], rows: Iterator[str]) -> int:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(path.stem, "w", force_zip64=True) as file,
    ):
        file.write(("\t".join(f'"{column}"' for column in header) + "\n").encode())
        return sum(_write_some(file, rows))


def _write_some(file: IO[bytes], rows: Iterator[str]) -> Iterator[int]:
    while block := "".join(row for _, row in zip(range(ROWS_AT_ONCE), rows, strict=False)):
        yield file.write(block.encode())


def measure(folder: Path, keys: dict[str, object]) -> dict[str, float]:
    """Select in a fresh process."""
    command = [sys.executable, "-c", MEASURE, str(folder), json.dumps(keys)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def by_hand(path: Path) -> int:
    """The same pass over the abstracts with Python's csv and re: what one would write first."""
    csv.field_size_limit(sys.maxsize)
    wanted = re.compile(EXPRESSION, re.IGNORECASE)
    with zipfile.ZipFile(path) as archive, archive.open(path.stem) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""), delimiter="\t")
        return sum(wanted.search(row["patent_abstract"]) is not None for row in rows)


def by_us(path: Path) -> int:
    """One pass over the abstracts."""
    return sum(int(_matches(b["patent_abstract"], EXPRESSION).sum()) for b in stream_table(path, ["patent_abstract"]))


def measured(megabytes: float, turns: int) -> list[Row]:
    """Speed and memory of each kind of selection, and of one pass beside a loop written by hand."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = make_tables(folder, megabytes)
        selections: dict[str, dict[str, object]] = {
            "a phrase": {"query": "neural network*"},
            "a phrase and a class": {"query": "neural network*", "cpc": ["G06N3"]},
            "everything": {},
        }
        for what, keys in selections.items():
            found = measure(folder, keys)
            passes = 1 + math.ceil(found["rows"] / TITLES_AT_ONCE)  # over the patents
            read = passes * sizes["g_patent"] + sizes["g_patent_abstract"] + sizes["g_cpc_current"] * ("cpc" in keys)
            speed, peak = read / 1e6 / found["seconds"], found["peak_bytes"] / 1e6
            work = f"patents from {megabytes:,.0f} MB of abstracts, {what}"
            processors = f"{found['cpu_seconds']:.0f} s of CPU in {found['seconds']:.0f} s, {found['rows']:,.0f} rows"
            rows.append(Row(f"{work}: TSV read", "40 MB/s", speed, 40, "MB/s", speed / 40, 1, note=processors))
            rows.append(Row(f"{work}: peak memory", "1 GB", peak, 1000, "MB", peak / 1000, 1, at_most=True))
        path = folder / "g_patent_abstract.tsv.zip"
        assert by_us(path) == by_hand(path) > 0
        timed = in_turns(lambda: by_us(path), lambda: by_hand(path), turns)
        speeds = [sizes["g_patent_abstract"] / 1e6 / seconds for seconds in (timed.ours, timed.theirs)]
        rows.append(Row("one pass over the abstracts", "Python's csv and re", *speeds, "MB/s", timed.speedup, None))
    return rows


def main(quick: bool) -> list[Row]:
    """The rows of the table."""
    return measured(megabytes=2 if quick else 1000, turns=1 if quick else 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1000, help="of abstracts, as TSV (default: %(default)s)")
    for row in measured(parser.parse_args().megabytes, turns=1):
        print(f"{row.work}: {row.ours:,.0f} {row.unit} (against {row.against}: {row.ratio:.2f}) {row.note}")
