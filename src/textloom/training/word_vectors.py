"""Pretrained word vectors as the initial embedding: text files of GloVe and word2vec, plain or compressed.

GloVe: Pennington, Socher and Manning (2014), "GloVe: Global vectors for word representation"; word2vec: Mikolov et al.
(2013), "Efficient estimation of word representations in vector space", arXiv 1301.3781.

A line holds a word and its numbers, with blanks between them; word2vec's first line holds the number of words and the
length of the vectors. A token has the vector of its text, or else of its text in lower case. Tokens without one are
drawn from a normal distribution with the standard deviation of the vectors that were found.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from textloom.config import ModelConfig
from textloom.data.reading.contents import contents_of
from textloom.errors import DataError
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.training.preparation import EncodedText

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".txt", ".vec"})  # suffixes of the members of a zip archive that are read
COUNTED_AT_ONCE = 1 << 24  # tokens, as 64-bit integers


class Vectors(NamedTuple):
    """The vectors of a vocabulary."""

    values: np.ndarray
    """(vocabulary, length) float32."""
    known: np.ndarray
    """(vocabulary,) True for the tokens that the file has a vector of."""
    in_file: int
    """Words in the file."""


def load_word_vectors(model: RecurrentLanguageModel, config: ModelConfig, text: EncodedText) -> None:
    """Replace the embedding by pretrained vectors, draw the recurrence for them, and log the coverage.

    Raises DataError if the file cannot be read, if its vectors have another length than the embedding, or if it holds
    no word of the vocabulary.
    """
    assert config.embedding_path is not None
    assert model.embedding is not None
    tokenizer = text.tokenizer
    words = [tokenizer.token_text(token) for token in range(tokenizer.vocabulary_size)]
    found = read_vectors(Path(config.embedding_path), words, model.embedding.embedding_dim)
    known = torch.from_numpy(found.known)
    values = torch.from_numpy(found.values)[known]
    with torch.no_grad():
        model.embedding.weight.normal_(std=float(values.std()))
        model.embedding.weight[known] = values
        norm = float(model.embedding.weight.norm(dim=1).mean())
    model.recurrence.init_weights(config.initialization, norm)
    log.info(
        "word vectors: %s of %s entries in the vocabulary (%.1f %%), %.1f %% of the training tokens; the file has %s",
        f"{int(found.known.sum()):,}", f"{len(words):,}", 100 * found.known.mean(),
        100 * _share_of_tokens(text.splits["train"].tokens, found.known), f"{found.in_file:,}",
    )  # fmt: skip


def read_vectors(path: Path, words: list[str], length: int) -> Vectors:
    """The vectors of these words. Raises DataError as ``load_word_vectors`` does."""
    places: dict[str, list[int]] = {}
    for exact in (True, False):
        for token, word in enumerate(words):
            if exact or word.lower() != word:
                places.setdefault(word if exact else word.lower(), []).append(token)
    values = np.zeros((len(words), length), np.float32)
    exactly, known = np.zeros(len(words), bool), np.zeros(len(words), bool)
    in_file = 0
    for number, line in _lines(path):
        fields = line.rsplit(" ", length)
        if number == 1 and _is_header(line):
            continue
        if in_file == 0:
            _check_length(path, number, line, length)
        if len(fields) != length + 1:
            raise DataError(_broken(path, number, f"has {line.count(' ')} numbers, not {length}"))
        in_file += 1
        for token in places.get(fields[0], ()):
            if exactly[token]:
                continue
            try:
                values[token] = np.array(fields[1:], np.float32)
            except ValueError as error:
                raise DataError(_broken(path, number, "holds something that is not a number")) from error
            if not np.isfinite(values[token]).all():
                raise DataError(_broken(path, number, "holds a number that is not finite"))
            known[token], exactly[token] = True, words[token] == fields[0]
    if not known.any():
        raise DataError(
            f"model.embedding_path={path}: none of its {in_file:,} words is in the vocabulary of {len(words):,}; give "
            "vectors of the text's language for tokenizer=word, or set model.embedding_path=null"
        )
    return Vectors(values, known, in_file)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, without blanks at their ends; empty lines are left out."""
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"model.embedding_path={path}: {problem}; give a file of GloVe or word2vec vectors")
    contents = contents_of(path, SUFFIXES, [])
    for number, line in enumerate(_split(contents[0].blocks()), start=1):
        text = line.decode("utf-8", "replace").rstrip(" \r").replace("\t", " ")
        if text:
            yield number, text


def _split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    yield rest


def _is_header(line: str) -> bool:
    """True for the first line of word2vec: two whole numbers."""
    fields = line.split(" ")
    return len(fields) == 2 and all(field.isdecimal() for field in fields)


def _check_length(path: Path, place: int, line: str, length: int) -> None:
    """Raise DataError unless the first vector, in the line at this place, has the length of the embedding."""
    if line.count(" ") == length:
        return
    numbers = sum(1 for _ in takewhile(_is_number, reversed(line.split(" ")[1:])))  # a word may hold blanks
    if not numbers:
        raise DataError(
            f"model.embedding_path={path}: line {place} is not a word and its numbers; give the text form of GloVe or "
            "word2vec vectors, not the binary one"
        )
    if numbers != length:
        raise DataError(
            f"model.embedding_path={path}: its vectors have {numbers} numbers, and model.embedding_dim is {length}; "
            f"set model.embedding_dim={numbers}"
        )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _broken(path: Path, number: int, what: str) -> str:
    return f"model.embedding_path={path}: line {number} {what}; repair the file, or get it again"


def _share_of_tokens(tokens: np.ndarray, known: np.ndarray) -> float:
    covered = sum(
        int(known[tokens[first : first + COUNTED_AT_ONCE]].sum()) for first in range(0, len(tokens), COUNTED_AT_ONCE)
    )
    return covered / len(tokens)
