"""The state of a model after a text, as a value that can be saved and continued from."""

import hashlib
import json
import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from textloom.errors import RunError
from textloom.generation.reading import Reading
from textloom.system.files import written_whole

FORMAT = "textloom state 1"
PART = "state_"


@dataclass(frozen=True, eq=False)
class State:
    """The state of a model after reading a text: ``run.read(text)``.

    It holds the recurrent state after the last whole block of tokens, a few kilobytes for a text of any length, and the
    tokens since, at most 256. Continuing from it gives, to the last digit, what reading the text again would give.
    """

    signature: str
    """Signature of the model that read the text; another model cannot continue from it."""
    reading: Reading
    origin: str = "state"
    """Its name in messages: the file that it was loaded from."""

    @property
    def tokens(self) -> int:
        """Number of tokens that were read."""
        return self.reading.tokens

    def save(self, path: str | PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all. Raises RunError if it cannot be written."""
        tensors = _tensors(self.reading)
        facts = {"format": FORMAT, "signature": self.signature, "tokens": str(self.reading.tokens)}
        content = save(tensors, {**facts, "sha256": _checksum(tensors, facts)})
        with written_whole(Path(path)) as file:
            file.write(content)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "State":
        """Read what ``save`` wrote. Raises RunError if the file is missing, damaged or of another program."""
        name = os.fspath(path)
        try:
            with safe_open(name, "pt") as file:
                facts: dict[str, str] = dict(file.metadata() or {})
                tensors: dict[str, torch.Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise RunError(f"{name}: there is no such file; give one that save_state or State.save wrote") from error
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{name}: damaged, or not a state of textloom ({error}); read the text again") from error
        if facts.get("format") != FORMAT:
            raise RunError(f"{name}: not a state of textloom; give a file that save_state or State.save wrote")
        if facts.pop("sha256", None) != _checksum(tensors, facts):
            raise RunError(f"{name}: damaged: its content does not match its checksum; read the text again")
        parts = tuple(tensors[f"{PART}{number}"] for number in range(len(tensors) - 2))
        pending, context = (tuple(tensors[key].tolist()) for key in ("pending", "context"))
        reading = Reading(parts or None, pending, context, int(facts["tokens"]))
        return cls(facts["signature"], reading, name)

    def reading_for(self, signature: str, device: torch.device) -> Reading:
        """The reading on a device. Raises RunError if it is of a model with another signature."""
        if signature != self.signature:
            raise RunError(
                f"{self.origin}: the state of another model ({self.signature}), and this one is {signature}; "
                "give the run that it was read with, or read the text again"
            )
        return self.reading.to(device)

    def __repr__(self) -> str:
        size = sum(tensor.nbytes for tensor in _tensors(self.reading).values())
        return f"State({self.tokens:,} tokens in {size:,} bytes, of model {self.signature[:8]})"


def _tensors(reading: Reading) -> dict[str, torch.Tensor]:
    parts: dict[str, Any] = {
        f"{PART}{number}": part.cpu().contiguous() for number, part in enumerate(reading.state or ())
    }
    ids = {"pending": torch.tensor(reading.pending), "context": torch.tensor(reading.context, dtype=torch.long)}
    return parts | ids


def _checksum(tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
