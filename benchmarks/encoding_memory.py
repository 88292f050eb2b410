"""How fast text becomes tokens, and in how much memory: python benchmarks/encoding_memory.py text=2000 rows=10.

``text=N`` makes one file of N million characters, ``rows=N`` a CSV of N million rows of about a hundred characters,
``parquet=N`` the same in Parquet. Each goes through the store in a fresh process with one thread and an empty cache,
and then once more with the cache filled. Other arguments are overrides of the config, such as tokenizer=word.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = re.findall(r"\w+", Path(__file__).parents[1].joinpath("src/textloom/data/toy.txt").read_text("utf-8"))
MILLION = 1_000_000

CHILD = """
import json, resource, sys, time
from pathlib import Path
from hydra import compose, initialize_config_dir
from textloom.composition import check, config_directory
from textloom.config import DataConfig, TokenizerConfig
from textloom.data.cache import load_corpus, tokenized
from omegaconf import OmegaConf
from pydantic import TypeAdapter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

with initialize_config_dir(str(config_directory()), version_base="1.3"):
    composed = compose("train", sys.argv[2:])
data, tokenizer = (
    TypeAdapter(kind).validate_python(OmegaConf.to_container(composed[name]))
    for name, kind in (("data", DataConfig), ("tokenizer", TokenizerConfig))
)
before, began = peak(), time.perf_counter()
corpus = load_corpus(data)
read = time.perf_counter() - began
fitted, splits = tokenized(corpus, tokenizer, Path(sys.argv[1]) / "tokenizer.json", Path(sys.argv[1]) / "tokens")
print(json.dumps({
    "seconds": time.perf_counter() - began, "reading": read, "peak": peak(), "imports": before,
    "documents": corpus.facts.documents, "folded": corpus.facts.duplicates_folded,
    "tokens": sum(part.targets for part in splits.values()),
}))
"""


def write_text(path: Path, millions: int) -> None:
    """Words at random, a line break after every ten: one document."""
    chance, paragraphs = random.Random(0), []
    for _ in range(1000):
        lines = (" ".join(chance.choices(WORDS, k=10)) for _ in range(20))
        paragraphs.append("\n".join(lines) + "\n\n")
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < millions * MILLION:
            written += file.write(chance.choice(paragraphs))


def write_rows(path: Path, millions: int) -> None:
    """A number and some words in each row; about one row in a hundred repeats another."""
    chance = random.Random(0)
    tails = [" ".join(chance.choices(WORDS, k=chance.randrange(5, 25))) for _ in range(10_000)]
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text\n")
        for i in range(millions * MILLION):
            number = i if i % 100 else i // 2
            file.write(f'{i},"number {number}, {tails[number % len(tails)]}."\n')


def write_parquet(path: Path, millions: int) -> None:
    """The same rows."""
    import pyarrow.csv
    import pyarrow.parquet

    rows = path.with_suffix(".csv")
    write_rows(rows, millions)
    with pyarrow.csv.open_csv(rows) as reader, pyarrow.parquet.ParquetWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    rows.unlink()


def measure(source: Path, overrides: list[str], folder: Path) -> dict[str, float]:
    """One pass in a process of its own."""
    environment = {**os.environ, "TEXTLOOM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    data = ["data=text_files"] if source.suffix == ".txt" else ["data=table"]
    arguments = [str(folder / "run"), *data, f"data.path='{source}'", *overrides]
    command = [sys.executable, "-c", CHILD, *arguments]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def main(arguments: list[str]) -> None:
    """All sizes that were asked for, in turn."""
    writers = {"text": (write_text, "txt"), "rows": (write_rows, "csv"), "parquet": (write_parquet, "parquet")}
    sizes = [tuple(part.split("=")) for part in arguments if part.split("=")[0] in writers]
    overrides = [part for part in arguments if part.split("=")[0] not in writers]
    print(f"{'source':>12} {'cache':>6} {'MB':>6} {'seconds':>8} {'MB/s':>6} {'reading':>8} {'peak MB':>8}")
    for kind, size in sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            write, suffix = writers[kind]
            source = Path(folder) / f"source.{suffix}"
            write(source, int(size))
            megabytes = source.stat().st_size / MILLION
            for cache in ("empty", "filled"):
                found = measure(source, overrides, Path(folder))
                speed = megabytes / found["seconds"]
                print(
                    f"{kind + '=' + size:>12} {cache:>6} {megabytes:6.0f} {found['seconds']:8.1f} {speed:6.1f} "
                    f"{found['reading']:8.1f} {found['peak']:8.0f}  {found['documents']:,} documents, "
                    f"{found['folded']:,} folded, {found['tokens']:,} tokens",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:] or ["text=500", "text=2000", "rows=10"])
