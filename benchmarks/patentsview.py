"""How fast patents are selected from PatentsView's zipped tables, and in how much memory.

    python benchmarks/patentsview.py --megabytes 1000

Makes synthetic tables of the real form (about 680 bytes a patent; one in a hundred speaks of neural networks), selects
from them in a fresh process, and prints MB/s of TSV, all passes counted, and the process's peak resident memory. The
real g_patent_abstract.tsv has 6,200 MB.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROWS_AT_ONCE = 2000

MEASURE = """
import json, os, resource, sys, time
from pathlib import Path
from textloom.config.patents import PatentSelection
from textloom.patentsview.selection import select
folder, keys = Path(sys.argv[1]), json.loads(sys.argv[2])
began, cpu = time.perf_counter(), time.process_time()
rows = select(PatentSelection(source="odp", **keys), folder, folder / "selected.parquet")
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
size = (folder / "selected.parquet").stat().st_size
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
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


def report(megabytes: float, folder: Path) -> list[str]:
    """A line for each kind of selection."""
    sizes = make_tables(folder, megabytes)
    read = 2 * sizes["g_patent"] + sizes["g_patent_abstract"]  # the patents are passed twice
    selections = {
        "phrase": ({"query": "neural network*"}, read),
        "phrase and class": ({"query": "neural network*", "cpc": ["G06N3"]}, read + sizes["g_cpc_current"]),
        "everything": ({}, read),
    }
    lines = [
        f"{'selection':18s} {'TSV MB':>8s} {'rows':>10s} {'seconds':>8s} {'CPU s':>7s} {'MB/s':>6s} {'peak MB':>8s}"
    ]
    for name, (keys, size) in selections.items():
        found = measure(folder, keys)
        lines.append(
            f"{name:18s} {size / 1e6:8,.0f} {found['rows']:10,.0f} {found['seconds']:8.1f} {found['cpu_seconds']:7.1f} "
            f"{size / 1e6 / found['seconds']:6.0f} {found['peak_bytes'] / 1e6:8.0f}"
        )
    return lines


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1000, help="of abstracts, as TSV (default: %(default)s)")
    parser.add_argument("--folder", help="where to write the tables (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print("\n".join(report(arguments.megabytes, Path(folder))))


if __name__ == "__main__":
    main()
