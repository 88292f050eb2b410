"""The entry point of every command: Ctrl-C ends it in one line, also while its modules are imported."""

import sys


def start(command: str | None = None) -> None:
    """Run a command with the arguments of this process; without a name, the first argument is the name."""
    arguments = sys.argv[1:]
    try:
        from textloom.cli.commands import main  # here, so that Ctrl-C during the imports is caught too

        main(arguments if command is None else [command, *arguments])
    except (KeyboardInterrupt, Exception) as error:
        if not _is_interrupt(error):
            raise
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _is_interrupt(error: BaseException | None) -> bool:
    """True for a KeyboardInterrupt, and for an error raised while cleaning up after one."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__context__))
