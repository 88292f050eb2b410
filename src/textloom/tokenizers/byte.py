"""One token for each byte of the UTF-8 text: 257 entries for every language, and nothing is unknown."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from textloom.tokenizers.base import Encoded, Tokenizer

SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class ByteTokenizer(Tokenizer):
    """Ids 0 to 255 are the bytes, 256 is ``<eos>``."""

    kind: ClassVar[str] = "byte"
    writes_spaces: ClassVar[bool] = False

    @classmethod
    def fit(cls, documents: Iterable[Iterable[str]]) -> Self:
        """The tokenizer, the same for all documents."""
        return cls()

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return 257

    @property
    def unknown_id(self) -> None:
        """None, because every text is bytes."""
        return None

    @property
    def end_id(self) -> int:
        """The id of ``<eos>``."""
        return 256

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; bytes that are not UTF-8, which a model may write, become U+FFFD."""
        array = id_array(ids)
        return text_of_bytes(array[array < 256].astype(np.uint8).tobytes())

    def pieces(self) -> list[bytes]:
        """Each byte; none for ``<eos>``."""
        return [*(bytes([byte]) for byte in range(256)), b""]

    def safe_cut(self, text: str) -> tuple[str, str]:
        """Cut anywhere."""
        return text, ""

    def to_dict(self) -> dict[str, Any]:
        """The kind alone."""
        return {"level": self.kind}

    def _encode(self, text: str) -> Encoded:
        return Encoded(np.frombuffer(bytes_of_text(text), dtype=np.uint8).astype(self.dtype), [])


def id_array(ids: Iterable[int]) -> np.ndarray:
    """Token ids as an array."""
    return ids if isinstance(ids, np.ndarray) else np.fromiter(ids, dtype=np.int64)


def valid_text(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which cannot be encoded."""
    return SURROGATE.sub(REPLACEMENT, text)


def bytes_of_text(text: str) -> bytes:
    """UTF-8, with U+FFFD for lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return valid_text(text).encode()


def text_of_bytes(content: bytes) -> str:
    """The text of UTF-8 bytes, with U+FFFD for bytes that are not UTF-8."""
    return content.decode("utf-8", "replace")
