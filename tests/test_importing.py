"""What a command imports is never looked at by the garbage collector."""

import gc
import os
import subprocess
import sys
from pathlib import Path

from textloom.cli.heavy_imports import heavy_imports

COMMAND = """
import gc
from textloom.cli.heavy_imports import heavy_imports
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


def test_an_installed_tensorflow_or_jax_is_not_imported_and_not_mentioned(tmp_path: Path) -> None:
    """Its import costs seconds, half a gigabyte and ten lines on stderr; neither is needed."""
    for name in ("tensorflow", "keras", "jax", "jaxlib"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} was imported')")
        (tmp_path / f"{name}-2.20.0.dist-info").mkdir()
        (tmp_path / f"{name}-2.20.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 2.20.0\n")
    (tmp_path / "table.csv").write_text("text\n" + "".join(f"the text of row {row}\n" for row in range(60)))
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root / "src"), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    keys = [f"data.path={tmp_path / 'table.csv'}", "model.units=4", "trainer.max_epochs=1", "samples.length=5"]
    code = (
        "import sys\n"
        "from textloom.cli.commands import main\n"
        "main()\n"
        f"sys.argv = ['textloom', 'compare', 'runs={tmp_path / 'run'}', 'format=html']\n"
        "main()\n"
        "import optuna, datasets, textloom.sweeps.sweep\n"
        "assert {'torch', 'datasets', 'tensorboard'} <= set(sys.modules)\n"
    )
    given = ["train", "data=table", *keys, f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert "ensor" not in done.stderr
    assert "JAX" not in done.stderr
