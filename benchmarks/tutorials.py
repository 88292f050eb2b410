"""The two tutorials: targets a second of our Trainer, many-to-one and many-to-many, against their own Keras code.

The patents need the article's CSV: ``TEXTLOOM_TEST_DATA`` names the folder that has it in ``patents/``.
"""

import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.keras_process import MISSING, KerasProcess, keras_process
from benchmarks.rows import Row, unmeasured
from textloom.batching.windows import Windows
from textloom.config import TrainConfig, WindowsConfig
from textloom.config.compose import compose
from textloom.data.encoding import load_splits
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.tokenizers import load_tokenizer
from textloom.training.train import train

CHAR = "the tutorial in Keras, windows of 10, batch 64"
PUBLISHED = "keras.io's character example, windows of 40, batch 128"
ARTICLE = "the article's Keras model, windows of 50, batch 2048"
PLAIN = "our tutorial's model in Keras, windows of 50, batch 256"
PATENTS = "patents/neural_network_patent_query.csv"
QUIET = ["trainer.progress_bar=false", "samples.length=1", "trainer.max_epochs=1000"]


def main(quick: bool = False) -> list[Row]:
    """Rows for what torch and TensorFlow compute on here."""
    folder = os.environ.get("TEXTLOOM_TEST_DATA")
    file = Path(folder).resolve() / PATENTS if folder else None
    with tempfile.TemporaryDirectory() as outputs, keras_process() as keras:
        if keras is None:
            return [
                unmeasured(f"targets/s of the {which} tutorial", "Keras", 80.0, MISSING)
                for which in ("char", "patents")
            ]
        rows = _char(keras, Path(outputs), quick)
        if file is None or not file.exists():
            return [
                *rows,
                unmeasured("targets/s of the patents tutorial", ARTICLE, 15.0, "TEXTLOOM_TEST_DATA has no patents"),
            ]
        return rows + _patents(keras, Path(outputs), file, quick)


def _char(keras: KerasProcess, outputs: Path, quick: bool) -> list[Row]:
    """Against the windows of our tutorial, which are short, and against the sizes that keras.io publishes."""
    published = ["batching.context=40", "batching.shortest_context=40", "trainer.batch_size=128"]
    windows = {"char": (64, 200, []), "published": (128, 50, published)}  # 2 seconds or so for Keras, at least
    turns = 1 if quick else 7
    for kind, (batch_size, batches, more) in windows.items():
        prepared = _trained(outputs / kind, "experiment=tutorial_char", "trainer.max_steps=1", *more)
        keras.build(kind, *_windows(prepared, batch_size * (2 if quick else batches)), batch_size=batch_size)
    ours = {
        "char": (400, ["experiment=tutorial_char"]),
        "stream": (600, ["experiment=tutorial_char_stream"]),
        "stream of 64": (200, ["experiment=tutorial_char_stream", "trainer.batch_size=64"]),
        "published": (100, ["experiment=tutorial_char", *published]),
    }
    rates: dict[str, list[float]] = {name: [] for name in (CHAR, *ours, PUBLISHED)}
    for turn in range(turns):
        rates[CHAR].append(1 / keras.fit("char"))
        for name, (steps, overrides) in ours.items():
            limit = f"trainer.max_steps={2 if quick else steps}"
            rates[name].append(_rate(outputs / f"{name}{turn}", *overrides, limit))
        rates[PUBLISHED].append(1 / keras.fit("published"))
    work = "char tutorial, LSTM 128 one-hot, "
    many = {"stream": "many-to-many, 8 x 32", "stream of 64": "many-to-many, 64 x 32"}
    return [
        *(
            _row(work + many[name], against, rates[name], rates[against], 80.0)
            for name in many
            for against in (CHAR, PUBLISHED)
        ),
        _row(work + "the same many-to-one windows", CHAR, rates["char"], rates[CHAR], 2.0),
        _row(work + "the same many-to-one windows", PUBLISHED, rates["published"], rates[PUBLISHED], 2.0),
    ]


def _patents(keras: KerasProcess, outputs: Path, file: Path, quick: bool) -> list[Row]:
    turns, steps, batches = (1, 1, 1) if quick else (5, 60, 3)
    # the vocabulary of a training split of 80 %, with little to validate: that is not what is measured
    data = [
        f"data.path={file}",
        "tokenizer.maximum_size=11700",
        "data.validation_fraction=0.005",
        "data.test_fraction=0",
    ]
    prepared = _trained(outputs / "patents", "experiment=tutorial_patents", "trainer.max_steps=1", *data)
    inputs, targets, size = _windows(prepared, 2048 * batches)
    keras.build("article", inputs, targets, size, batch_size=2048)
    keras.build("plain", inputs, targets, size, batch_size=256)
    windows, documents, article, plain = [], [], [], []
    for turn in range(turns):
        article.append(1 / keras.fit("article"))
        documents.append(
            _rate(
                outputs / f"documents{turn}",
                "experiment=tutorial_patents_documents",
                f"trainer.max_steps={steps}",
                *data,
            )
        )
        windows.append(
            _rate(outputs / f"windows{turn}", "experiment=tutorial_patents", f"trainer.max_steps={steps}", *data)
        )
        plain.append(1 / keras.fit("plain"))
    work = f"patents tutorial, LSTM 128, vocabulary {size:,}, "
    return [
        _row(work + "many-to-many", ARTICLE, documents, article, 15.0),
        _row(work + "the same many-to-one windows", ARTICLE, windows, article, 3.0),
        _row(work + "many-to-many", PLAIN, documents, plain, None),
        _row(work + "the same many-to-one windows", PLAIN, windows, plain, None),
    ]


def _row(work: str, against: str, ours: list[float], theirs: list[float], must: float | None) -> Row:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    note = f"{torch.get_num_threads()} threads each"
    return Row(work, against, statistics.median(ours), statistics.median(theirs), "targets/s", ratio, must, note=note)


def _rate(directory: Path, *overrides: str) -> float:
    """Targets a second, the first steps included."""
    return float(_trained(directory, *overrides).results()["train/targets_per_second"])


def _trained(directory: Path, *overrides: str) -> Run:
    config = compose("train", TrainConfig, [*QUIET, "name=benchmark", *overrides]).config
    with claimed_run(directory) as run:
        train(config, run, [])
        run.mark("completed")
    return run


def _windows(run: Run, count: int) -> tuple[np.ndarray, np.ndarray, int]:
    """So many of the run's own training windows, whole ones: (windows, context), (windows,), vocabulary size."""
    batching = run.config().batching
    assert isinstance(batching, WindowsConfig)
    split, context = load_splits(run.tokens)["train"], batching.context
    windows = Windows(split, count, context, shortest_context=context, shuffle_seed=0)
    batch = next(windows.batches(epoch=0))
    return batch.inputs.numpy(), batch.targets.numpy(), load_tokenizer(run.tokenizer_file).vocabulary_size


if __name__ == "__main__":
    print(*main(), sep="\n")
