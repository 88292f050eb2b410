"""The score of each token of a text, and the files that they are written to."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from textloom.data.encoding import TokenSplit
from textloom.errors import ConfigError
from textloom.evaluation.predictor import Prediction
from textloom.system.files import written_whole
from textloom.tokenizers import Tokenizer

SUFFIXES = (".parquet", ".jsonl")
ROWS_AT_ONCE = 1 << 16
CONTEXT = 8  # tokens before one that are decoded with it: spaces, and characters of several bytes, depend on them
COLUMNS = pa.schema(
    [
        ("split", pa.string()), ("document", pa.int64()), ("position", pa.int64()), ("token", pa.int64()),
        ("text", pa.string()), ("offset", pa.int64()), ("nats", pa.float32()), ("rank", pa.int32()),
        ("entropy", pa.float32()),
    ]
)  # fmt: skip


class TokenScores:
    """Scores of every target of a split, in the order of the text: 17 bytes for each token."""

    def __init__(self, split: TokenSplit):
        size = len(split.tokens) - 1
        self.split = split
        self.nats = np.full(size, np.nan, dtype=np.float32)
        """Negative log-likelihood; NaN for a token that is not a target."""
        self.ranks = np.zeros(size, dtype=np.int32)
        """Rank of the token, 1 for the likeliest; tokens of equal probability do not count."""
        self.entropies = np.zeros(size, dtype=np.float32)
        """Entropy of the prediction, in nats."""
        self.confidences = np.zeros(size, dtype=np.float32)
        """Probability of the likeliest token."""
        self.correct = np.zeros(size, dtype=bool)
        """True if the target was the likeliest token."""

    def add(self, prediction: Prediction, places: np.ndarray) -> None:
        """Add the predictions of the targets at these positions in the tokens, (targets,)."""
        scores, at = prediction.scores, places - 1
        highest, likeliest = scores.max(dim=1)
        own = scores.gather(1, prediction.targets[:, None])  # (targets, 1)
        self.nats[at] = prediction.nats.float().cpu().numpy()
        self.ranks[at] = 1 + (scores > own).sum(dim=1).int().cpu().numpy()
        self.entropies[at] = -(scores.exp() * scores).nan_to_num().sum(dim=1).float().cpu().numpy()
        self.confidences[at] = highest.exp().float().cpu().numpy()
        self.correct[at] = (likeliest == prediction.targets).cpu().numpy()

    @property
    def targets(self) -> np.ndarray:
        """Indices of the targets among the scores, ascending."""
        found: np.ndarray = np.flatnonzero(~np.isnan(self.nats))
        return found

    def documents(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The index of each token's document, and its position in it; both start at 0."""
        numbers = np.searchsorted(self.split.boundaries, places, side="right") - 1
        numbers = np.minimum(numbers, self.split.documents - 1)
        return numbers, places - self.split.boundaries[numbers]


def check_file(path: str) -> Path:
    """The file to write. Raises ConfigError unless its suffix is that of a known format."""
    if not path.endswith(SUFFIXES):
        raise ConfigError(f"per_token={path}: is written as Parquet or as JSON lines; give FILE.parquet or FILE.jsonl")
    return Path(path)


def write_token_scores(path: Path, scores: Mapping[str, TokenScores], tokenizer: Tokenizer) -> None:
    """Write a row for each token of each split: ``COLUMNS``. Raises RunError if the file cannot be written."""
    tables = (table for name, found in scores.items() for table in _tables(name, found, tokenizer))
    with written_whole(path) as file:
        if path.suffix == ".jsonl":
            for table in tables:
                _write_lines(file, table)
            return
        with pq.ParquetWriter(file, COLUMNS) as writer:
            for table in tables:
                writer.write_table(table)


def _write_lines(file: BinaryIO, table: pa.Table) -> None:
    for row in table.to_pylist():
        file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


def _tables(name: str, scores: TokenScores, tokenizer: Tokenizer) -> Iterator[pa.Table]:
    offsets = _Offsets(tokenizer, scores.split)
    targets = scores.targets
    for begin in range(0, len(targets), ROWS_AT_ONCE):
        places = targets[begin : begin + ROWS_AT_ONCE]
        tokens = scores.split.tokens[places + 1]
        documents, positions = scores.documents(places)
        columns: dict[str, Any] = {
            "split": [name] * len(places),
            "document": documents,
            "position": positions,
            "token": tokens.astype(np.int64),
            "text": [tokenizer.token_text(int(token)) for token in tokens],
            "offset": [offsets.at(*both) for both in zip(places.tolist(), (places - positions).tolist(), strict=True)],
            "nats": scores.nats[places],
            "rank": scores.ranks[places],
            "entropy": scores.entropies[places],
        }
        yield pa.table(columns, schema=COLUMNS)


class _Offsets:
    """Where the text of each token begins in the decoded text of its document; tokens are asked for in rising order."""

    def __init__(self, tokenizer: Tokenizer, split: TokenSplit):
        self.tokens = split.tokens
        self.place, self.before = 0, 0  # characters before the token at this place
        self.decode = lru_cache(1 << 16)(tokenizer.decode)
        self.text = lru_cache(1 << 16)(tokenizer.token_text)

    def at(self, place: int, first: int) -> int:
        """The offset of the token at a place, in the document whose first token is at ``first``."""
        if self.place < first:
            self.place, self.before = first, 0
        while self.place < place:
            self.before += len(self._until(self.place, first)) - len(self._until(self.place, first, own=0))
            self.place += 1
        written = self._until(place, first)[len(self._until(place, first, own=0)) :]
        text = self.text(int(self.tokens[place + 1]))
        spaces = len(written) - len(text) if written.endswith(text) else 0  # that decoding writes before a word
        return self.before + spaces

    def _until(self, place: int, first: int, own: int = 1) -> str:
        """The decoded text of the last tokens up to the one at a place, with it or without (own = 0)."""
        begin = max(first, place - CONTEXT)
        return self.decode(tuple(self.tokens[begin + 1 : place + 1 + own].tolist()))
