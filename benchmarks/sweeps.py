"""How much faster trials of a sweep run side by side: two at a time on a CPU, eight at a time on one GPU.

Equal trials of the character tutorial, one after the other in one process, then with workers. Both are whole commands,
start and imports included, and take turns.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.rows import Compared, Row, compared, seconds, unmeasured

ROOT = Path(__file__).parents[1]
TRIALS = ["-m", "experiment=tutorial_char", "trainer.early_stopping_patience=null"]


def main(quick: bool = False) -> Iterator[Row]:
    """Share of the serial time on the CPU, times the serial throughput on a GPU."""
    trials = _trials(quick)
    both = _measured(trials, 2, ["trainer.accelerator=cpu"], quick)
    work, share = f"{trials} trials of the char tutorial, 2 workers on 2 cores", both.ours / both.theirs
    yield Row(work, "one after the other", both.ours, both.theirs, "s", share, 0.65, at_most=True)
    yield on_gpu(quick)


def on_gpu(quick: bool, turns: int = 2) -> Row:
    """Times the serial throughput on one GPU."""
    trials = _trials(quick)
    work, against = f"{trials} trials of the char tutorial on one GPU, side by side", "one after the other"
    if not torch.cuda.is_available():
        return unmeasured(work, against, 4.0, "no GPU here")
    both = _measured(trials, trials, ["trainer.accelerator=gpu", f"sweep.trials_per_gpu={trials}"], quick, turns)
    return Row(work, against, both.ours, both.theirs, "s", both.speedup, 4.0)


def _trials(quick: bool) -> int:
    return 2 if quick else 8


def _measured(trials: int, parallel: int, overrides: list[str], quick: bool, turns: int = 2) -> Compared:
    """Seconds of the workers and of the serial launcher."""
    shared = [f"seed=range(0,{trials})", *overrides, *(["trainer.max_steps=2"] if quick else [])]
    ours, theirs = ["sweep.launcher=workers", f"sweep.parallel={parallel}"], ["sweep.launcher=serial"]
    timed = [
        (seconds(lambda: _sweep([*ours, *shared], trials)), seconds(lambda: _sweep([*theirs, *shared], trials)))
        for _ in range(1 if quick else turns)
    ]
    return compared(*map(list, zip(*timed, strict=True)))


def _sweep(arguments: list[str], trials: int) -> None:
    """One sweep in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "textloom", "train", *TRIALS, *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        if done.returncode != 0 or len(list(Path(folder).glob("outputs/sweeps/*/*/results.json"))) != trials:
            raise RuntimeError(f"the sweep failed:\n{done.stderr[-3000:]}")
