"""Keras in a process of its own: TensorFlow and torch in one would fight for threads and memory.

``TEXTLOOM_KERAS_PYTHON`` names the interpreter that has Keras and TensorFlow; by default it is this one, with the
``bench`` extra installed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

VARIABLE = "TEXTLOOM_KERAS_PYTHON"
MISSING = f"no Keras here: pip install 'textloom[bench]', or name a Python that has it in {VARIABLE}"


class KerasProcess:
    """Does one thing at a time, while this process waits; idle in between."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path):
        self.process = process
        self.folder = folder
        self.versions: dict[str, str] = self._answer()

    def build(self, kind: str, inputs: np.ndarray, targets: np.ndarray, vocabulary_size: int, batch_size: int) -> None:
        """A model with its windows; compiled, and trained on them once."""
        file = self.folder / f"{kind}.npz"
        np.savez(file, inputs=inputs, targets=targets, vocabulary_size=vocabulary_size)
        self._ask(do="build", kind=kind, file=str(file), batch_size=batch_size)

    def fit(self, kind: str) -> float:
        """Seconds a target of one pass over the windows."""
        return self._ask(do="fit", kind=kind)

    def generate(self, kind: str, length: int) -> float:
        """Seconds a token of the ``model.predict`` loop."""
        return self._ask(do="generate", kind=kind, length=length)

    def _ask(self, **asked: Any) -> float:
        assert self.process.stdin
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer = self._answer()
        return float(answer["seconds"] / answer["targets"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the Keras process has ended; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def keras_process() -> Iterator[KerasProcess | None]:
    """None where there is no Keras. It gets as many threads as torch has here."""
    python = os.environ.get(VARIABLE, sys.executable)
    if subprocess.run([python, "-c", "import keras, tensorflow"], capture_output=True).returncode:
        yield None
        return
    script = Path(__file__).with_name("keras_tutorials.py")
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": ""}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=threads
        ) as process,
    ):
        yield KerasProcess(process, Path(folder))
        assert process.stdin
        process.stdin.close()
