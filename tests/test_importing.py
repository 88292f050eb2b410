"""What a command imports is never looked at by the garbage collector."""

import gc
import subprocess
import sys

from textloom.importing import heavy_imports

COMMAND = """
import gc
from textloom.importing import heavy_imports
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
gc.collect()
assert collections
collections.clear()
with heavy_imports():
    import torch
assert not collections
gc.callbacks.clear()
assert gc.isenabled()
print(gc.get_freeze_count())
"""


def test_nothing_is_collected_while_torch_is_imported_and_it_is_not_looked_at_again() -> None:
    done = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100_000


def test_a_process_that_has_torch_already_is_left_as_it_is() -> None:
    import torch  # noqa: F401

    frozen = gc.get_freeze_count()
    with heavy_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
