"""Start a command: Ctrl-C ends it in one line, also in the half second in which its modules are imported."""

import sys


def start(command: str | None = None) -> None:
    """Run a command as it was typed; without a name the one that the first argument names."""
    try:
        from textloom.cli import commands as cli

        getattr(cli, command or "main")()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
