"""How much faster trials of a sweep run side by side: ``python benchmarks/sweeps.py``, on a quiet machine.

Eight equal trials of the character tutorial, one after the other in one process, then with workers: two on a CPU, eight
on one GPU. Both are whole commands, start and imports included; the two are interleaved and the best of each counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIALS = ["-m", "experiment=tutorial_char", "trainer.early_stopping_patience=null", "seed=range(0,8)"]


def seconds(launcher: list[str]) -> float:
    """The wall time of one sweep in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "textloom", "train", *TRIALS, *launcher]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ)
        took = time.perf_counter() - began
        if done.returncode != 0 or len(list(Path(folder).glob("outputs/sweeps/*/*/results.json"))) != 8:
            sys.exit(f"the sweep failed:\n{done.stderr[-3000:]}")
    return took


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="eight trials on one GPU instead of two on two cores")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts")
    chosen = parser.parse_args()
    parallel = 8 if chosen.gpu else 2
    device = ["trainer.accelerator=gpu"] if chosen.gpu else ["trainer.accelerator=cpu"]
    ways = {
        "serial": ["sweep.launcher=serial", *device],
        f"{parallel} workers": [
            "sweep.launcher=workers",
            "sweep.trials_per_gpu=8",
            f"sweep.parallel={parallel}",
            *device,
        ],
    }
    best: dict[str, float] = {}
    for _ in range(chosen.rounds):
        for name, launcher in ways.items():
            took = seconds(launcher)
            best[name] = min(took, best.get(name, took))
            print(f"{name:>10}: {took:6.1f} s", flush=True)
    serial, side_by_side = best.values()
    print(f"\n8 trials with {parallel} workers take {side_by_side / serial:.2f} of the serial time ", end="")
    print(f"({serial / side_by_side:.1f} times the throughput)")


if __name__ == "__main__":
    main()
