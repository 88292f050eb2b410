"""Print versions that pyproject.toml allows, as requirements for pip.

``versions.py lowest``: the lowest of every dependency; ``versions.py lowest NAME``: of one;
``versions.py range NAME``: all that are allowed.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def ranges() -> dict[str, str]:
    """Name -> range of versions of every dependency."""
    lines = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]
    return dict(re.fullmatch(r"([\w-]+)(.*)", line).groups() for line in lines)


def lowest(versions: str) -> str:
    """``==`` the lowest version of a range such as ``>=2.6,<2.7``."""
    return "==" + re.search(r">=([\w.]+)", versions)[1]


def main() -> None:
    """The command line."""
    what, *names = sys.argv[1:]
    for name, versions in ranges().items():
        if name in names or not names:
            print(f"{name}{lowest(versions) if what == 'lowest' else versions}")


if __name__ == "__main__":
    main()
