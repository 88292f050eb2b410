"""Pretrained tokenizers: any ``tokenizer.json``, from a file or from the Hugging Face Hub."""

import hashlib
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tokenizers

from textloom.errors import ConfigError
from textloom.tokenizers.base import UNKNOWN, Encoded, Tokenizer
from textloom.tokenizers.byte import id_array, valid_text
from textloom.tokenizers.subword import CUT, read_definition

log = logging.getLogger(__name__)

FILE = "tokenizer.json"
SAMPLE = 10_000  # characters of the text that are encoded and decoded to see what is lost
CONTEXT = 64  # characters on either side of a possible cut that are encoded to check it
HIDDEN = "\ufdd0"  # a noncharacter, which no text contains


@dataclass(frozen=True)
class PretrainedTokenizer(Tokenizer):
    """The ids of the file, and ``<eos>`` after them. It may lose case, spaces or marks of a text."""

    kind: ClassVar[str] = "pretrained"
    block: ClassVar[int] = 1 << 15

    definition: str
    """The content of the ``tokenizer.json``, changed so that no text becomes a special token."""

    @classmethod
    def fit(cls, documents: Iterable[Iterable[str]], path: str) -> Self:
        """The tokenizer, unchanged. Logs a warning if decoding does not restore the first document."""
        tokenizer = cls.load(path)
        _warn_if_lossy(tokenizer, "".join(next(iter(documents), "")))
        return tokenizer

    @classmethod
    def origin(cls, path: str) -> str:
        """A hash of the ``tokenizer.json``. Raises ConfigError if there is none."""
        return hashlib.sha256(find_definition(path).encode()).hexdigest()

    @classmethod
    def load(cls, path: str) -> Self:
        """Load it from a file, a folder with a ``tokenizer.json``, or a Hub id. Raises ConfigError if there is none."""
        content = find_definition(path)
        try:
            tokenizer = cls(plain_definition(content))
            tokenizer.encode("a")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problem = str(error).splitlines()[0]
            raise ConfigError(f"tokenizer.path={path}: {problem}; give a tokenizer.json, or a Hub id") from error
        return tokenizer

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return max(self._model.get_vocab().values()) + 2

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of the model's own unknown token, if it has one."""
        model = json.loads(self.definition)["model"]
        if model.get("unk_id") is not None:
            return int(model["unk_id"])
        return self._model.token_to_id(model["unk_token"]) if model.get("unk_token") else None

    @property
    def end_id(self) -> int:
        """The id of ``<eos>``."""
        return self.vocabulary_size - 1

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids."""
        array = id_array(ids)
        text: str = self._model.decode(array[array != self.end_id].tolist(), skip_special_tokens=False)
        if HIDDEN in text:
            for token, shown in self._hidden.items():
                text = text.replace(token, shown)
        return text

    def safe_cut(self, text: str) -> tuple[str, str]:
        """Cut at white space between two words if the tokens around it do not change."""
        for tail in (1 << 8, 1 << 12):
            for space in reversed(list(CUT.finditer(text, max(0, len(text) - tail)))):
                before = text[max(0, space.start() - CONTEXT) : space.start()]
                whole = self._ids(before + text[space.start() : space.end() + CONTEXT])
                for start in (space.start(), space.end()):  # many tokenizers add the space themselves
                    if self._ids(before) + self._ids(text[start : space.end() + CONTEXT]) == whole:
                        return text[: space.start()], text[start:]
        return "", text

    def to_dict(self) -> dict[str, Any]:
        """The definition."""
        return {"level": self.kind, "definition": self.definition}

    @cached_property
    def _model(self) -> tokenizers.Tokenizer:
        return read_definition(self.definition)

    @cached_property
    def _hidden(self) -> dict[str, str]:
        """The shown text of special tokens, which only a model can write."""
        names = {name: i for name, i in self._model.get_vocab().items() if name.startswith(HIDDEN) and len(name) > 1}
        return {name: UNKNOWN if i == self.unknown_id else name.strip(HIDDEN) for name, i in names.items()}

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._model.encode(valid_text(text), add_special_tokens=False).ids
        return ids

    def _encode(self, text: str) -> Encoded:
        encoding = self._model.encode(valid_text(text), add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=self.dtype)
        unknown = [] if self.unknown_id is None else np.flatnonzero(ids == self.unknown_id).tolist()
        places = [encoding.offsets[i] for i in unknown]
        return Encoded(ids, [text[start:end] for start, end in places])


def _warn_if_lossy(tokenizer: Tokenizer, text: str) -> None:
    text = text[:SAMPLE]
    if tokenizer.unknown_id not in tokenizer.encode(text) and tokenizer.decode(tokenizer.encode(text)) != text:
        log.warning(
            "tokenizer: decoding does not restore the text (case, spaces or marks are lost), so that its "
            "bits_per_char are those of an easier text"
        )


def plain_definition(content: str) -> str:
    """The ``tokenizer.json`` without special tokens in text, truncation and padding. Raises ValueError."""
    definition = json.loads(content)
    special = {token["content"] for token in definition.get("added_tokens", ()) if token["special"]}
    definition["added_tokens"] = [token for token in definition.get("added_tokens", ()) if not token["special"]]
    definition |= {"post_processor": None, "truncation": None, "padding": None}
    model = definition["model"]
    if model.get("unk_token"):
        special.add(model["unk_token"])
    if model.get("unk_id") is not None:
        special.add(model["vocab"][model["unk_id"]][0])

    def hidden(token: str) -> str:
        return f"{HIDDEN}{token}{HIDDEN}" if token in special else token

    if isinstance(model["vocab"], dict):
        model["vocab"] = {hidden(token): i for token, i in model["vocab"].items()}
    else:
        model["vocab"] = [[hidden(token), score] for token, score in model["vocab"]]
    if model.get("unk_token"):
        model["unk_token"] = hidden(model["unk_token"])
    return json.dumps(definition, ensure_ascii=False)


def find_definition(path: str) -> str:
    """The content of a ``tokenizer.json``. Raises ConfigError if there is none, or the Hub cannot be reached."""
    file = Path(path).expanduser()
    file = file / FILE if file.is_dir() else file
    try:
        if not file.exists():
            file = Path(_from_hub(path))
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"tokenizer.path={path}: cannot be read ({error}); give a {FILE}, or a Hub id") from error


def _from_hub(path: str) -> str:
    from huggingface_hub import hf_hub_download  # slow to import, and a local file does not need it
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", path) or path.endswith(".json"):
            raise HFValidationError
        return hf_hub_download(path, FILE)
    except HFValidationError:
        problem = f"there is no such file; give a {FILE}, a folder that has one, or a Hub id such as gpt2"
    except GatedRepoError:
        problem = "its authors give access on request; ask on its page, then set HF_TOKEN"
    except RepositoryNotFoundError:
        problem = "neither a file here nor a repository on the Hub; check the name"
    except LocalEntryNotFoundError:
        problem = (
            "no file here, not in the Hub's cache, and the Hub is not reached; fetch it once where there is a "
            f"network, or give the path of a {FILE}"
        )
    except EntryNotFoundError:
        problem = f"this repository has no {FILE}; give one that has"
    raise ConfigError(f"tokenizer.path={path}: {problem}")
