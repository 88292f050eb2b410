"""Between what the user types and Hydra: texts, options, sweeps, resumed runs, and mistakes reported in one line."""

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import GrammarParseError, InterpolationResolutionError, OmegaConfBaseException

from textloom.cli.help import help_text, version
from textloom.cli.streams import tolerant_streams
from textloom.config import Section
from textloom.config.arguments import SWEEP_OPTIONS, hydra_arguments, unresolved
from textloom.config.composition import config_directory, explain
from textloom.config.keys import known_keys
from textloom.config.paths import with_home
from textloom.config.quoting import as_value, unquoted
from textloom.config.suggestions import SAME_GROUP, nearest, nearest_key
from textloom.errors import ConfigError, Interrupted, TextloomError, TrialsFailed
from textloom.system.progress import shown

TRIALS_FAILED = 1
USER_ERROR = 2
INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: stopped on request, and can be resumed

GROUP_KEY = re.compile(r"(?!hydra\b)[\w/]+\.[\w.]+=")  # model.units=64

HYDRA_OPTIONS = frozenset(
    [
        "--help",
        "--hydra-help",
        "--version",
        "--cfg",
        "--resolve",
        "--package",
        "--run",
        "--multirun",
        "--shell-completion",
        "--config-path",
        "--config-name",
        "--config-dir",
        "--experimental-rerun",
        "--info",
    ]
)


@tolerant_streams()
def run_command(name: str, task: Callable[[DictConfig], object], schema: type[Section]) -> None:
    """Compose the config and run the task; what the user can cure ends in one line and exit status 2.

    A sweep that came to its end with trials that failed has exit status 1.
    """
    if {"--help", "-h"} & set(sys.argv):
        print(help_text(name, schema))
        return
    if "--version" in sys.argv:
        print(version())
        return
    try:
        sys.argv[1:] = _in_the_resumed_directory(hydra_arguments(sys.argv[1:], schema))
    except TextloomError as error:
        _tell(error)
    _refuse_unknown_options(schema)
    before = os.environ.get("HYDRA_FULL_ERROR")
    if before == "1":  # the user asks for stack traces
        hydra.main(config_path=str(config_directory()), config_name=name, version_base="1.3")(task)()
        return

    def job(config: DictConfig) -> object:
        try:
            with shown():
                return task(config)
        except Exception as error:  # before Hydra prints a line of its own about it
            _end_in_one_line(error, schema)
            raise

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        hydra.main(config_path=str(config_directory()), config_name=name, version_base="1.3")(job)()
    except Exception as error:  # of the composition, and of sweeps
        _end_in_one_line(error, schema)
        raise
    except KeyboardInterrupt:
        logging.disable()  # of libraries that were interrupted, and report on themselves at the end
        fail("stopped", 130)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before or ""


def _end_in_one_line(error: Exception, schema: type[Section]) -> None:
    """End with a message and a status of its own, if the user can do something about the error; else return."""
    if isinstance(error, TextloomError):
        if isinstance(error.__cause__, OmegaConfBaseException):
            _refuse_interpolation(error.__cause__, schema)
        _tell(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        _refuse_interpolation(error, schema)
        fail(explain(error, schema))
    if isinstance(error, OSError):
        file = f"{error.filename}: " if error.filename is not None else ""
        fail(" ".join(f"{file}{error.strerror or error}".split()))
    if isinstance(error, yaml.YAMLError):
        fail(" ".join(str(error).split()))
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        fail(f"{error.object}: no such characters in this locale ({error.encoding}); set LC_ALL=C.UTF-8")
    if isinstance(error, ValueError) and "null byte" in str(error):
        fail("name or hydra.run.dir: holds a NUL character, which no folder's name may have; leave it out")


def _tell(error: TextloomError) -> NoReturn:
    statuses = {Interrupted: INTERRUPTED, TrialsFailed: TRIALS_FAILED}
    fail(str(error), statuses.get(type(error), USER_ERROR))


def _refuse_interpolation(error: Exception, schema: type[Section]) -> None:
    """If a text that was typed holds an interpolation that cannot be resolved, say how to have it taken as text."""
    typed = unresolved(sys.argv[1:], schema)
    if typed is not None and isinstance(error, InterpolationResolutionError | GrammarParseError):
        reason = str(error).strip().partition("\n")[0]
        fail(f"{typed[0]}: {reason}; if it is no interpolation, type {typed[1]}")


def _refuse_unknown_options(schema: type[Section]) -> None:
    """In one line, where Hydra would print its usage."""
    for argument in sys.argv[1:]:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in HYDRA_OPTIONS:
            key = name[2:].replace("-", "_")
            hint = nearest(name, sorted(HYDRA_OPTIONS), SAME_GROUP) or nearest_key(key, known_keys(schema))
            fail(f"{argument}: there is no such option; keys are written as key=value{hint}")


def _in_the_resumed_directory(arguments: list[str]) -> list[str]:
    """The arguments, with the directory of ``resume=DIR`` as Hydra's, so that all that is written goes on there."""
    typed = [argument for argument in arguments if argument.startswith("resume=")]
    if not typed or typed[-1] == "resume=null":
        return arguments
    if SWEEP_OPTIONS & set(arguments):
        raise ConfigError("resume: continues one run, and -m trains many; leave one of them out")
    from textloom.runs.find import run_to_resume
    from textloom.runs.run import separate_copies

    run = run_to_resume(with_home(unquoted(typed[-1].partition("=")[2]), "resume"), Path("outputs"))
    separate_copies(run)  # before Hydra opens the log
    # keys are compared with the run's config later, and may be none of those that Hydra composes by default
    others = [f"++{argument}" if GROUP_KEY.match(argument) else argument for argument in arguments]
    return [*others, f"hydra.run.dir={as_value(str(run.directory))}"]


def fail(message: str, status: int = USER_ERROR) -> NoReturn:
    """Say what is wrong, and end with a status of its own."""
    print(message, file=sys.stderr)
    sys.exit(status)
