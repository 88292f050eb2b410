"""Imports: fast in the processes of the command line, without side effects in those of other programs."""

import ast
import gc
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from textloom.system.heavy_imports import heavy_imports

COMMAND = """
import gc, sys
from textloom.system.heavy_imports import heavy_imports
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
gc.collect()
assert collections
collections.clear()
with heavy_imports():
    import torch, pytorch_lightning
assert not collections
gc.callbacks.clear()
assert gc.isenabled()
print(gc.get_freeze_count())
assert "scipy.signal" not in sys.modules
from scipy.signal import lfilter
assert lfilter([1.0], [1.0], [2.0]) == [2.0]
"""
LIBRARY = """
import gc, logging, signal, sys, warnings
import pytorch_lightning, tensorboard
signals = range(1, 32)
state = lambda: (warnings.filters[:], logging.getLogger().handlers[:], [signal.getsignal(n) for n in signals])
before, frozen = state(), gc.get_freeze_count()  # Python 3.12 starts with some
import textloom.training.train
assert state() == before
assert gc.isenabled() and gc.get_freeze_count() == frozen
assert "tensorboard.compat.notf" not in sys.modules
assert getattr(sys.modules.get("scipy.signal"), "__file__", "not imported") is not None
"""


def test_the_command_line_collects_no_garbage_during_imports_and_none_of_what_they_leave() -> None:
    """torchmetrics is imported without scipy.signal, which is there for others all the same."""
    done = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100_000


def test_the_library_has_no_side_effects_on_import() -> None:
    """No frozen objects, stand-in modules, warning filters, log handlers or signal handlers."""
    subprocess.run([sys.executable, "-c", LIBRARY], check=True)


@pytest.mark.parametrize("error", [None, AttributeError("half of a module")])
def test_an_interrupt_that_an_import_drops_or_turns_into_another_error_is_raised(error: Exception | None) -> None:
    def import_it() -> None:
        with heavy_imports():
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            if error is not None:
                raise error

    with pytest.raises(KeyboardInterrupt):
        import_it()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
        "main(sys.argv[1:])\n"
        f"main(['compare', 'runs={tmp_path / 'run'}', 'format=html'])\n"
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


def _unexplained_imports(path: Path) -> list[str]:
    """Imports inside functions of a file that state no reason, as ``file:line``.

    The reason is a comment beside the import (or beside another of the same function), or a sentence about imports in
    the docstring of the module or of its package.
    """
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    package = ast.get_docstring(ast.parse((path.parent / "__init__.py").read_text(encoding="utf-8")))
    if re.search(r"\bimport(s|ed)?\b", f"{ast.get_docstring(tree)} {package}"):
        return []
    lines, found = source.splitlines(), []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            imports = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            beside = [lines[number - 1] for node in imports for number in (node.lineno - 1, node.lineno)]
            if imports and not any("  # " in line or line.lstrip().startswith("# ") for line in beside):
                found.append(f"{path}:{imports[0].lineno}")
    return found


def test_an_import_inside_a_function_states_its_reason() -> None:
    source = Path(__file__).parents[1] / "src"
    assert [place for path in sorted(source.rglob("*.py")) for place in _unexplained_imports(path)] == []


def test_an_import_inside_a_function_without_a_reason_is_found(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text('"""A package."""\n')
    module = tmp_path / "module.py"
    module.write_text('"""A module."""\n\n\ndef f():\n    import torch\n')
    assert _unexplained_imports(module) == [f"{module}:5"]
    module.write_text('"""A module."""\n\n\ndef f():\n    import torch  # takes two seconds\n')
    assert _unexplained_imports(module) == []


def _checks_of_model_classes(path: Path) -> list[str]:
    """Calls of ``isinstance`` in a file with a class of ``textloom.models`` or ``textloom.ngram``, as ``file:line``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    of_models = [one for one in imports if (one.module or "").startswith(("textloom.models", "textloom.ngram"))]
    classes = {alias.asname or alias.name for one in of_models for alias in one.names}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"]
    return [
        f"{path}:{call.lineno}"
        for call in calls
        if classes & {node.id for node in ast.walk(call.args[1]) if isinstance(node, ast.Name)}
    ]


def test_only_models_and_ngrams_ask_for_the_class_of_a_model() -> None:
    package = Path(__file__).parents[1] / "src/textloom"
    others = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] not in ("models", "ngram")]
    assert [place for path in sorted(others) for place in _checks_of_model_classes(path)] == []


def test_a_question_for_the_class_of_a_model_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("from textloom.models.recurrent import RecurrentLanguageModel as R\n\nisinstance(x, R | int)\n")
    assert _checks_of_model_classes(module) == [f"{module}:3"]
