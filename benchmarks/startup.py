"""How long a person waits before anything happens: ``--help``, ``--cfg job``, and the first optimizer step.

Whole processes, in turns; those that import torch end at once, without tidying up. Ratios here are seconds more than
the other takes.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.rows import Row, in_turns

ROOT = Path(__file__).parents[1]
# trains on the toy text, and ends right after the first optimizer step
FIRST_STEP = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *_: os._exit(75))
from textloom.cli.commands import train
train(["hydra.run.dir=" + sys.argv[1]])
"""


def main(quick: bool = False) -> list[Row]:
    """Seconds from the start of a process to its end, or to the first optimizer step."""
    turns = 1 if quick else 5
    nothing, imports = _process("-c", "pass"), _process("-c", "import torch, pytorch_lightning, os; os._exit(0)")
    with tempfile.TemporaryDirectory() as folder:  # its cache is filled by the turn that is not counted
        first_step = _process("-c", FIRST_STEP, folder=folder, status=75)
        return [
            _row("train.py --help", "python -c pass", _process("scripts/train.py", "--help"), nothing, 1.2, turns),
            _row(
                "train.py --cfg job",
                "python -c pass",
                _process("scripts/train.py", "--cfg", "job"),
                nothing,
                1.2,
                turns,
            ),
            _row(
                "train.py to the first optimizer step",
                "import torch, pytorch_lightning",
                first_step,
                imports,
                2.5,
                turns,
            ),
        ]


def _row(
    work: str, against: str, ours: Callable[[], object], theirs: Callable[[], object], most: float, turns: int
) -> Row:
    both = in_turns(ours, theirs, turns)
    more = both.ours - both.theirs
    return Row(work, against, both.ours, both.theirs, "s", more, most, at_most=True, note="ratio: seconds more")


def _process(*arguments: str, folder: str | None = None, status: int = 0) -> Callable[[], object]:
    """A process that must end with a status; below the folder, if there is one, are its cache and its runs."""
    environment = dict(os.environ) if folder is None else {**os.environ, "TEXTLOOM_CACHE": f"{folder}/cache"}

    def run() -> None:
        own = [] if folder is None else [tempfile.mkdtemp(dir=folder) + "/run"]
        command = [sys.executable, *arguments, *own]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode != status:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")

    return run
