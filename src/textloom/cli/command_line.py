"""Running a command: its arguments, Hydra, logging, and errors in one line."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from textloom.cli.help import help_text, version
from textloom.cli.hydra_app import OPTIONS, run_hydra
from textloom.config import Section, TrainConfig
from textloom.config.arguments import SWEEP_OPTIONS, hydra_arguments, unresolved_text
from textloom.config.checking import explain
from textloom.config.keys import known_keys
from textloom.config.paths import with_home
from textloom.config.quoting import as_value, one_line, unquoted
from textloom.config.suggestions import SAME_GROUP, nearest, nearest_key
from textloom.errors import ConfigError, Interrupted, PluginError, TextloomError, TrialsFailed
from textloom.runs.claim import separate_copies
from textloom.runs.find import run_to_resume
from textloom.system.progress import shown
from textloom.system.streams import tolerant_streams

TRIALS_FAILED = 1
USER_ERROR = 2
INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: stopped on request, and can be resumed

GROUP_KEY = re.compile(r"(?!hydra\b)[\w/]+\.[\w.]+=")  # model.units=64


@tolerant_streams()
def run_command(
    name: str, task: Callable[[DictConfig], object], schema: type[Section], arguments: Sequence[str]
) -> None:
    """Compose the config and run the task; an error that the user can cure ends in one line and exit status 2.

    A sweep that finished with failed trials has exit status 1. ``HYDRA_FULL_ERROR=1`` gives stack traces.
    """
    if {"--help", "-h"} & set(arguments):
        with _errors_in_one_line(schema, []):
            print(help_text(name, schema))
        return
    if "--version" in arguments:
        print(version())
        return
    given: list[str] = []

    def job(config: DictConfig) -> object:
        with shown(), _errors_in_one_line(schema, given):  # before Hydra prints a line of its own about them
            return task(config)

    try:
        with _errors_in_one_line(schema, given), _own_logging():
            _refuse_unknown_options(arguments, schema)
            _refuse_working_directory()
            given += _in_the_resumed_directory(hydra_arguments(list(arguments), schema))
            run_hydra(name, given, job, sweeps=schema is TrainConfig)
    except KeyboardInterrupt:
        logging.disable()  # libraries that were interrupted log errors when the process ends
        fail("stopped", 130)


@contextmanager
def _errors_in_one_line(schema: type[Section], given: Sequence[str]) -> Iterator[None]:
    """End the process with a message and an exit status if the user can cure the error, or asks for no stack trace."""
    try:
        yield
    except Exception as error:
        message = None if os.environ.get("HYDRA_FULL_ERROR") == "1" else _message(error, schema, given)
        if message is not None:
            statuses = {Interrupted: INTERRUPTED, TrialsFailed: TRIALS_FAILED}
            fail(message, statuses.get(type(error), USER_ERROR))
        raise


def _message(error: Exception, schema: type[Section], given: Sequence[str]) -> str | None:
    """The message for an error that the user can cure; None for a defect of the program."""
    if isinstance(error, PluginError):
        return str(error)  # no key of the schema is involved
    if isinstance(error, TextloomError):
        return unresolved_text(error.__cause__, schema, given) or str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return unresolved_text(error, schema, given) or explain(error, schema)
    if isinstance(error, FileExistsError):  # raised by Hydra, which makes the directory of a run
        return f"{error.filename}: is a file, not a folder; give another as hydra.run.dir=DIR"
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename is not None else ""
        return " ".join(f"{file}{error.strerror or error}".split())
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        return f"{error.object}: no such characters in this locale ({error.encoding}); set LC_ALL=C.UTF-8"
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "name or hydra.run.dir: holds a NUL character, which no folder's name may have; leave it out"
    return None


@contextmanager
def _own_logging() -> Iterator[None]:
    """Log as the config of the command says, and put handlers and levels back at the end."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    loggers = [root, *(logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger))]
    levels = [(logger, logger.level) for logger in loggers]
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        for logger, level in levels:
            logger.setLevel(level)


def _refuse_unknown_options(arguments: Sequence[str], schema: type[Section]) -> None:
    """Raises ConfigError for an option that does not exist, with the key or the option that may be meant."""
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in OPTIONS:
            key = name[2:].replace("-", "_")
            hint = nearest(name, sorted(OPTIONS), SAME_GROUP) or nearest_key(key, known_keys(schema))
            raise ConfigError(f"{argument}: there is no such option; keys are written as key=value{hint}")


def _refuse_working_directory() -> None:
    """Raises ConfigError if Hydra would read a part of the working directory's name as an interpolation."""
    if "${" in os.getcwd():
        raise ConfigError(
            f"{one_line(os.getcwd())}: Hydra reads ${{ in the name of the working directory as an interpolation; "
            "rename it, or start in another directory"
        )


def _in_the_resumed_directory(arguments: list[str]) -> list[str]:
    """The arguments, with the directory of ``resume=DIR`` as Hydra's, so that logs and results are written there."""
    typed = [argument for argument in arguments if argument.startswith("resume=")]
    if not typed or typed[-1] == "resume=null":
        return arguments
    if SWEEP_OPTIONS & set(arguments):
        raise ConfigError("resume: continues one run, and -m trains many; leave one of them out")
    run = run_to_resume(with_home(unquoted(typed[-1].partition("=")[2]), "resume"), Path("outputs"))
    separate_copies(run)  # before Hydra opens the log
    # keys are compared with the run's config later, and may be none of those that Hydra composes by default
    others = [f"++{argument}" if GROUP_KEY.match(argument) else argument for argument in arguments]
    return [*others, f"hydra.run.dir={as_value(str(run.directory))}"]


def fail(message: str, status: int = USER_ERROR) -> NoReturn:
    """Print what is wrong, and end the process."""
    print(message, file=sys.stderr)
    sys.exit(status)
