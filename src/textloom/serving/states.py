"""Stored states: files of bounded size and age, written whole, that survive a restart."""

import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from textloom.errors import ConfigError
from textloom.generation.state import State

NAME = re.compile(r"state-[0-9a-f]{32}")
SUFFIX = ".safetensors"


@dataclass
class _Entry:
    size: int
    used: float
    """Seconds since 1970."""


class StateStore:
    """Files with random names. Only names that the store knows become paths."""

    def __init__(self, directory: Path, most_bytes: int, oldest_seconds: float):
        """Open the store. Raises ConfigError if another process uses it, or if it cannot be written."""
        self._directory, self._most_bytes, self._oldest_seconds = directory, most_bytes, oldest_seconds
        self._mutex = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._lock = FileLock(directory / ".lock")
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire(timeout=0)
            self._read_directory()
        except Timeout as error:
            raise ConfigError(f"states={directory}: another server uses it; give another folder") from error
        except OSError as error:
            raise ConfigError(
                f"states={directory}: cannot be written ({error.strerror}); give another folder"
            ) from error
        self._make_room(0)

    def close(self) -> None:
        """Let other processes use the folder."""
        self._lock.release()

    def put(self, state: State) -> str:
        """Store a state, and return its name. Older ones are removed to make room. Raises RunError if it fails."""
        name = f"state-{secrets.token_hex(16)}"
        state.save(self._file(name))
        entry = _Entry(self._file(name).stat().st_size, time.time())
        with self._mutex:
            self._make_room(entry.size)
            self._entries[name] = entry
        return name

    def get(self, name: str) -> State | None:
        """The state of this name; None if there is none. Updates its time of use. Raises RunError if it is damaged."""
        with self._mutex:
            self._make_room(0)
            entry = self._entries.get(name)
            if entry is None or not self._file(name).exists():
                return None
            entry.used = time.time()
            os.utime(self._file(name))
        return State.load(self._file(name))

    def remove(self, name: str) -> bool:
        """Remove a state. False if there is none of this name."""
        with self._mutex:
            return self._remove(name)

    def expires(self, name: str) -> float | None:
        """When a state is removed if it is not used until then, in seconds since 1970; None if there is none."""
        with self._mutex:
            entry = self._entries.get(name)
        return None if entry is None else entry.used + self._oldest_seconds

    def __len__(self) -> int:
        """Number of states."""
        return len(self._entries)

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}{SUFFIX}"

    def _read_directory(self) -> None:
        """Find the states of former processes, and remove files that were not completed."""
        for file in self._directory.iterdir():
            if file.name.startswith(".state-"):
                file.unlink()
            elif file.suffix == SUFFIX and NAME.fullmatch(file.stem):
                found = file.stat()
                self._entries[file.stem] = _Entry(found.st_size, found.st_mtime)

    def _make_room(self, size: int) -> None:
        """Remove states that are too old, and those not used for longest until there is room."""
        oldest = time.time() - self._oldest_seconds
        total = size + sum(entry.size for entry in self._entries.values())
        for name, entry in sorted(self._entries.items(), key=lambda pair: pair[1].used):
            if entry.used >= oldest and total <= self._most_bytes:
                return
            total -= entry.size
            self._remove(name)

    def _remove(self, name: str) -> bool:
        if self._entries.pop(name, None) is None:
            return False
        with suppress(FileNotFoundError):
            self._file(name).unlink()
        return True
