"""Execute the notebooks beside this file and store their outputs: `make notebooks`, or with names of some of them."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent.resolve()


def execute(notebook: Path, directory: Path, timeout: int = 1200) -> nbformat.NotebookNode:
    """The notebook with outputs, executed in a directory. Raises CellExecutionError if a cell fails."""
    cells = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"path": str(directory)}}
    return NotebookClient(cells, timeout=timeout, kernel_name="python3", resources=resources).execute()


def portable(notebook: nbformat.NotebookNode, directory: Path) -> nbformat.NotebookNode:
    """The notebook without times of execution, Python's version, progress lines, and the path of the directory."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type != "display_data"]
    notebook.metadata.pop("language_info", None)
    return nbformat.reads(nbformat.writes(notebook).replace(f"{directory}/", ""), as_version=4)


if __name__ == "__main__":
    for path in [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        print(f"executing {path.name}")
        nbformat.write(portable(execute(path, HERE), HERE), path)
