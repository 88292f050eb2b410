"""The entry point of every command: Ctrl-C ends it in one line, also while its modules are imported."""

import sys


def start(command: str | None = None) -> None:
    """Run a command with the arguments of this process; without a name, the first argument is the name."""
    arguments = sys.argv[1:]
    try:
        from textloom.cli.commands import main

        main(arguments if command is None else [command, *arguments])
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
