"""One token for each byte of the UTF-8 text: a vocabulary of 257 for every language, nothing unknown."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ByteTokenizer:
    """Ids 0 to 255 are the bytes, 256 is ``<eos>``."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return 257

    @property
    def unknown_id(self) -> None:
        """None: every text is bytes."""
        return None

    @property
    def end_id(self) -> int:
        """The id of ``<eos>``."""
        return 256

    def encode(self, text: str) -> np.ndarray:
        """Token ids, (bytes,) int64."""
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text; bytes that are no UTF-8, which a model may well write, show as the replacement sign."""
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")

    def unknown(self, text: str) -> list[str]:
        """Nothing: every text is bytes."""
        return []

    def to_dict(self) -> dict[str, object]:
        """Plain JSON types."""
        return {"level": "byte"}
