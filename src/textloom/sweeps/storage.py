"""The storage of an Optuna study: a journal file beside the trials, or a storage URL."""

import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend

from textloom.errors import ConfigError

SECONDS_TO_ANSWER = 10
TIMEOUTS = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "sqlite": "timeout"}


def open_storage(place: str) -> BaseStorage:
    """Open a storage URL or a journal file. Raises ConfigError if it does not answer."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if "://" not in place:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(place))
        if place.startswith("redis"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return JournalStorage(JournalRedisBackend(place))
        timeout = TIMEOUTS.get(place.partition(":")[0].partition("+")[0])
        arguments = {} if timeout is None else {"connect_args": {timeout: SECONDS_TO_ANSWER}}
        return RDBStorage(place, engine_kwargs=arguments)
    except Exception as error:  # each database has exceptions of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"sweep.storage={_without_password(place)}: does not answer ({reason}); correct it, start the database, or "
            "leave it out to keep the study in a file"
        ) from error


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}"
