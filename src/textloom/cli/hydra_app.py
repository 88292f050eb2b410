"""Hydra with explicit arguments. Every private part of Hydra that textloom uses is used here.

``hydra.main`` reads ``sys.argv``, and prints errors of its own unless an environment variable tells it to raise them.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from textloom.config.checking import config_directory
from textloom.errors import ConfigError

VERSION_BASE = "1.3"
ACTIONS = {"run": "--run", "multirun": "--multirun", "cfg": "--cfg", "shell_completion": "--shell-completion",
           "info": "--info", "hydra_help": "--hydra-help"}  # fmt: skip


Task = Callable[[DictConfig], Any]


def run_hydra(name: str, arguments: Sequence[str], task: Task, sweeps: bool) -> None:
    """Compose the config of a command and run the task with it, or do what an option such as ``--cfg`` asks for.

    ``sweeps`` says whether the command can run several times, with ``-m``. Raises ConfigError for options that cannot
    be read, the errors of Hydra and OmegaConf, and those of the task.
    """
    options = parse(arguments)
    version.setbase(VERSION_BASE)
    search_path = create_config_search_path(_config_path(options.config_path))
    if options.config_dir is not None:
        directory = Path(options.config_dir).absolute()
        if not directory.is_dir():
            raise ConfigError(f"--config-dir={options.config_dir}: there is no such directory; give one that exists")
        schema = SearchPathQuery(provider="schema")
        search_path.prepend(provider="command-line", path=f"file://{directory}", anchor=schema)
    hydra = Hydra.create_main_hydra2(task_name=name, config_search_path=search_path)
    try:
        given = {"config_name": options.config_name or name, "overrides": options.overrides}
        if not _show(hydra, options, given):
            _run(hydra, _mode(hydra, options, given, sweeps), given, task)
    finally:
        GlobalHydra.instance().clear()


def _show(hydra: Hydra, options: argparse.Namespace, given: dict[str, Any]) -> bool:
    """Print what an option asks for. Returns False if no option does."""
    if options.hydra_help:
        hydra.hydra_help(config_name=None, args_parser=PARSER, args=options)
    elif options.cfg is not None:
        hydra.show_cfg(**given, cfg_type=options.cfg, package=options.package, resolve=options.resolve)
    elif options.shell_completion:
        hydra.shell_completion(**given)
    elif options.info is not None:
        hydra.show_info(options.info, **given)
    else:
        return False
    return True


def _mode(hydra: Hydra, options: argparse.Namespace, given: dict[str, Any], sweeps: bool) -> RunMode:
    """Whether to run once or several times. Raises ConfigError for several runs of a command other than train."""
    mode = RunMode.MULTIRUN if options.multirun else RunMode.RUN
    others = options.config_dir or options.config_path or options.config_name
    if others or any(override.startswith(("hydra.mode", "hydra.searchpath")) for override in options.overrides):
        # only then: textloom's own configs do not set hydra.mode, and composing once more takes 0.1 s
        given = {**given, "with_log_configuration": False, "validate_sweep_overrides": False}
        chosen = hydra.compose_config(**given, run_mode=RunMode.MULTIRUN).hydra.mode
        mode = mode if options.multirun or chosen is None else chosen
    if mode == RunMode.MULTIRUN and not sweeps:
        raise ConfigError("-m: only train runs several times; leave -m out, and type the command once for each value")
    return mode


def _run(hydra: Hydra, mode: RunMode, given: dict[str, Any], task: Task) -> None:
    given = {**given, "overrides": [*given["overrides"], f"hydra.mode={mode.name}"]}
    if mode == RunMode.MULTIRUN:
        hydra.multirun(**given, task_function=task)
    else:
        hydra.run(**given, task_function=task)


def _config_path(given: str | None) -> str:
    if given is None:
        return str(config_directory())
    return given if given.startswith("pkg://") else str(Path(given).absolute())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options and overrides of a command. Raises ConfigError for options that cannot be read."""
    options = PARSER.parse_intermixed_args(arguments)
    chosen = [ACTIONS[action] for action in ACTIONS if getattr(options, action) not in (None, False)]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)}: exclude each other; give one of them")
    if options.resolve and options.cfg is None:
        raise ConfigError("--resolve: has no effect without --cfg; add --cfg job, or leave it out")
    return options


class _Parser(argparse.ArgumentParser):
    """Hydra's options, with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError where argparse would print its usage and exit."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            raise ConfigError(f"{unknown}: there is no such option; see the options with --hydra-help")
        raise ConfigError(f"{message.removeprefix('argument ')}; see the options with --hydra-help")


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*", help="key=value arguments, which override values of the config")
    parser.add_argument("--help", "-h", action="store_true", help="the help of a command")
    parser.add_argument("--hydra-help", action="store_true", help="this help")
    parser.add_argument("--version", action="store_true", help="the version of textloom")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"], help="show the config instead of running")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve interpolations")
    parser.add_argument("--package", "-p", help="with --cfg: the part of the config to show")
    parser.add_argument("--run", "-r", action="store_true", help="run once, which is the default")
    parser.add_argument("--multirun", "-m", action="store_true", help="run several times, as a sweep")
    parser.add_argument("--shell-completion", "-sc", action="store_true", help="install=SHELL or uninstall=SHELL")
    parser.add_argument("--config-path", "-cp", help="use this directory in place of textloom's configs")
    parser.add_argument("--config-name", "-cn", help="use this config in place of the command's own")
    parser.add_argument("--config-dir", "-cd", help="a directory with further configs")
    information = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=information, help="how the config is composed")
    return parser


PARSER = _parser()
OPTIONS = frozenset(option for action in PARSER._actions for option in action.option_strings if option[:2] == "--")
