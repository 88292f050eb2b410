"""Seconds of a whole process to 1.88 nats on tiny-shakespeare's last tenth: ours, and nanoGPT's published CPU recipe.

The text is ``tinyshakespeare/input.txt`` in the folder that ``TEXTLOOM_TEST_DATA`` names.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import Row, seconds, unmeasured

ROOT = Path(__file__).parents[1]
WORK, AGAINST = "1.88 nats on tiny-shakespeare's last tenth, whole process", "nanoGPT's CPU recipe, 2,000 steps"
GOAL = 1.88


def main(quick: bool = False) -> list[Row]:
    """Both processes, one after the other."""
    folder = os.environ.get("TEXTLOOM_TEST_DATA")
    text = Path(folder).resolve() / "tinyshakespeare" / "input.txt" if folder else None
    if text is None or not text.exists():
        return [unmeasured(WORK, AGAINST, 10.0, "TEXTLOOM_TEST_DATA has no tinyshakespeare/input.txt")]
    losses: dict[str, float] = {}

    def ours() -> None:
        with tempfile.TemporaryDirectory() as run:
            data = ["experiment=tiny_shakespeare", f"data.path={text}", *(["trainer.max_steps=2"] if quick else [])]
            _output(["scripts/train.py", *data, f"hydra.run.dir={run}/run"], {"TEXTLOOM_CACHE": f"{run}/cache"})
            losses["ours"] = json.loads((Path(run) / "run/results.json").read_text())["val/loss"]

    def theirs() -> None:
        said = _output(["-m", "benchmarks.nanogpt", str(text), *(["2"] if quick else [])], {})
        losses["theirs"] = float(re.findall(r"val ([\d.]+)", said)[-1])

    our_seconds, their_seconds = seconds(ours), seconds(theirs)
    note = f"ends at {losses['ours']:.3f}, nanoGPT at {losses['theirs']:.3f}"
    if losses["ours"] > GOAL and not quick:
        return [unmeasured(WORK, AGAINST, 10.0, f"ours {note}: the goal was not reached")]
    return [Row(WORK, AGAINST, our_seconds, their_seconds, "s", their_seconds / our_seconds, 10.0, note=note)]


def _output(arguments: list[str], environment: dict[str, str]) -> str:
    """What a process says."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
