"""A large text and a large table, encoded and trained on: seconds and peak memory, of a fresh process with one thread.

The text is one document of words at random; a row of the table has some fifteen words, and one in a hundred repeats
another. As a program this is that process: ``python -m benchmarks.encoding_memory FOLDER OVERRIDE ...``.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row

ROOT = Path(__file__).parents[1]
WORDS = re.findall(r"\w+", ROOT.joinpath("src/textloom/data/toy.txt").read_text("utf-8"))
LIMIT = 1500.0  # MB
FLAT = 1.1
TRAINED = [  # the validation is short
    "name=benchmark",
    "model.units=32",
    "trainer.progress_bar=false",
    "data.validation_fraction=0.0002",
    "data.test_fraction=0",
    "samples.length=10",
]


def main(quick: bool = False) -> Iterator[Row]:
    """Texts of 500 MB and 2 GB, ten million rows."""
    small, large, rows = (1, 2, 10_000) if quick else (500, 2000, 10_000_000)
    trained = [*TRAINED, f"trainer.max_steps={2 if quick else 200}"]  # enough to read from all over the text
    with tempfile.TemporaryDirectory() as name:
        folder, peaks = Path(name), []
        for megabytes in (small, large):
            path = folder / f"{megabytes}.txt"
            write_text(path, megabytes * 1_000_000)
            found = measured(path, [*trained, "data=text_files", "tokenizer=char"])
            peaks.append(found["peak_mb"])
            yield _row(f"a text of {megabytes:,} MB encoded by character and trained on: peak memory", found)
            if megabytes == small:
                found = measured(path, [*trained, "data=text_files", "tokenizer=word"])
                yield _row(f"a text of {megabytes:,} MB encoded by word and trained on: peak memory", found)
            path.unlink()
        work = f"peak memory at {large:,} MB of text"
        yield Row(work, f"at {small:,} MB", peaks[1], peaks[0], "MB", peaks[1] / peaks[0], FLAT, at_most=True)
        path = folder / "rows.csv"
        write_rows(path, rows)
        found = measured(path, [*trained, "data=table", "data.text_column=text", "tokenizer=word"])
        yield _row(f"a CSV of {rows:,} rows encoded by word and trained on: peak memory", found)


def _row(work: str, found: dict[str, float]) -> Row:
    speed = found["source_mb"] / found["seconds_of_encoding"]
    note = (
        f"{found['source_mb']:,.0f} MB into the store in {found['seconds_of_encoding']:.0f} s ({speed:.1f} MB/s), "
        f"{found['documents']:,.0f} documents, {found['tokens']:,.0f} tokens"
    )
    peak = found["peak_mb"]
    return Row(work, "1.5 GB", peak, LIMIT, "MB", peak / LIMIT, 1.0, at_most=True, note=note)


def write_text(path: Path, characters: int) -> None:
    """Words at random, a line break after every ten: one document."""
    chance, paragraphs = random.Random(0), []
    for _ in range(1000):
        lines = (" ".join(chance.choices(WORDS, k=10)) for _ in range(20))
        paragraphs.append("\n".join(lines) + "\n\n")
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < characters:
            written += file.write(chance.choice(paragraphs))


def write_rows(path: Path, rows: int) -> None:
    """A number and some words in each row; about one row in a hundred repeats another."""
    chance = random.Random(0)
    tails = [" ".join(chance.choices(WORDS, k=chance.randrange(5, 25))) for _ in range(10_000)]
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text\n")
        for i in range(rows):
            number = i if i % 100 else i // 2
            file.write(f'{i},"number {number}, {tails[number % len(tails)]}."\n')


def measured(source: Path, overrides: list[str]) -> dict[str, float]:
    """Encoded with an empty cache and trained on, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        environment = {**os.environ, "TEXTLOOM_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.encoding_memory", folder, f"data.path='{source}'", *overrides]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "source_mb": source.stat().st_size / 1e6}


def encode_and_train(folder: Path, overrides: list[str]) -> dict[str, float]:
    """In this process, whose peak memory it tells."""
    from textloom.config import TrainConfig
    from textloom.config.compose import compose
    from textloom.data.cache import load_corpus, load_or_encode_into
    from textloom.runs.claim import claimed_run
    from textloom.system.memory import peak_resident_bytes
    from textloom.training.train import train

    config = compose("train", TrainConfig, overrides).config
    began = time.perf_counter()
    corpus = load_corpus(config.data)
    _, splits = load_or_encode_into(corpus, config.tokenizer, folder / "tokenizer.json", folder / "tokens")
    encoded = time.perf_counter()
    with claimed_run(folder / "run") as run:
        train(config, run, [])
    return {
        "seconds_of_encoding": encoded - began,
        "documents": corpus.facts.documents,
        "tokens": sum(part.targets for part in splits.values()),
        "peak_mb": peak_resident_bytes() / 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(encode_and_train(Path(sys.argv[1]), sys.argv[2:])))
