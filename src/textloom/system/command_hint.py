"""Commands in messages: those of the installed package, or the scripts of a checkout, as the user started it."""

import os
import re
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
"""The scripts of a checkout; an installed package has none."""


def as_command(name: str) -> str:
    """``python scripts/NAME.py`` if this process runs one of the scripts, else ``textloom NAME``.

    A command without a script is then ``python -m textloom NAME``. ``inspect`` has none: Python puts the folder of a
    script first in its search path, so that every script would import it in place of the standard library's module.
    """
    main = getattr(sys.modules["__main__"], "__file__", None)
    if main is None or Path(main).resolve().parent != SCRIPTS:
        return f"textloom {name}"
    if not (SCRIPTS / f"{name}.py").exists():
        return f"python -m textloom {name}"
    folder = Path(main).parent
    relative = Path(os.path.relpath(folder))
    return f"python {folder if relative.parts[:1] == ('..',) else relative}/{name}.py"


def as_commands(text: str) -> str:
    """A text that names scripts, with each as ``as_command`` gives it."""
    return re.sub(r"python scripts/(\w+)\.py", lambda found: as_command(found[1]), text)
