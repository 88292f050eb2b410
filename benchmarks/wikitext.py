"""A WikiText-2 sized word model: our Trainer against PyTorch's own example, word_language_model, in its own process.

The text is made up, with WikiText-2's vocabulary of 33,278 and word frequencies that follow Zipf's law.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.fit import Steps, composed, made_up_tokens, step_seconds
from benchmarks.machine import ROOT
from benchmarks.rows import Row, compared
from benchmarks.word_language_model import CLIP, DROPOUT, LAYERS, RATE, ROWS, STEPS, UNITS

VOCABULARY = 33_278


def main(quick: bool = False) -> list[Row]:
    """One row, on the CPU."""
    size = 100 if quick else VOCABULARY
    config = composed(
        "batching=stream", f"batching.steps={STEPS}", f"model.units={UNITS}", f"model.embedding_dim={UNITS}",
        f"model.layers={LAYERS}", *(f"model.{place}_dropout={DROPOUT}" for place in ("input", "layer", "output")),
        "optimizer=sgd", f"optimizer.learning_rate={RATE}", f"trainer.gradient_clip_val={CLIP}",
        f"trainer.batch_size={ROWS}", "trainer.accelerator=cpu",
    )  # fmt: skip
    with _the_example(size) as example:
        seconds = step_seconds(config, size, made_up_tokens(size), [example], *((0.01, 1) if quick else (2.0, 9)))
    both = compared(*seconds)
    work = f"WikiText-2, {LAYERS} x {UNITS} units, {ROWS} x {STEPS}, vocabulary {size:,}"
    against = "PyTorch's word_language_model example"
    return [Row(work, against, 1000 * both.ours, 1000 * both.theirs, "ms/batch", both.speedup, 2.5)]


@contextmanager
def _the_example(vocabulary_size: int) -> Iterator[Steps]:
    """With as many threads as torch has here."""
    command = [sys.executable, "-m", "benchmarks.word_language_model", str(vocabulary_size)]
    threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=threads, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        asked, answers = process.stdin, process.stdout

        def train(steps: int) -> None:
            print(steps, file=asked, flush=True)
            if answers.readline() != "done\n":
                raise RuntimeError("the example's process has ended; what it said is above")

        yield train
        asked.close()
