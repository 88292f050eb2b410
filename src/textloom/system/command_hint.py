"""How the commands are typed here: those of an installed package, or the scripts of a checkout."""

import re
import sys
from pathlib import Path


def typed(command: str) -> str:
    """``python scripts/NAME.py`` for who typed a script, else ``textloom NAME``."""
    folder = Path(sys.argv[0]).parent
    return f"python {folder / command}.py" if folder.name == "scripts" else f"textloom {command}"


def as_typed(text: str) -> str:
    """A text that shows scripts, with the commands as they are typed here."""
    return re.sub(r"python scripts/(\w+)\.py", lambda found: typed(found[1]), text)
