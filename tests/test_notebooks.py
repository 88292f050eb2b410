"""The notebooks of the documentation run from their first cell to the last, and are stored with their outputs."""

import json
import shutil
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs/notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
LARGEST = 150_000  # bytes of a notebook with its outputs


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_stored_with_small_outputs(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "stream"}
    assert {output["name"] for output in outputs if output["output_type"] == "stream"} <= {"stdout"}
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) >= 3
    assert str(Path.home()) not in json.dumps(outputs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the patents where ``TEXTLOOM_TEST_DATA`` is set, else on the toy text; every cell without an error."""
    monkeypatch.syspath_prepend(NOTEBOOKS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copy(NOTEBOOKS / "pictures.py", tmp_path)
    from execute import execute

    executed = execute(path, tmp_path)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    sys.modules.pop("execute")
