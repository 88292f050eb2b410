"""Signatures: one line that says on what text and how a figure was measured, in the manner of sacreBLEU (Post 2018, "A
call for clarity in reporting BLEU scores", arXiv 1804.08771). Figures measure the same thing if their
signatures agree in all parts but the version.
"""

import hashlib
import importlib.metadata
import json

from textloom.tokenizers import Tokenizer

SHOWN = 12  # characters of the fingerprint of a text


def signature(fingerprint: str, split: str, tokenizer: Tokenizer, method: str) -> str:
    """``text:FINGERPRINT|split:SPLIT|tokenizer:KIND.SIZE.HASH|protocol:METHOD|version:VERSION``."""
    parts = {
        "text": fingerprint[:SHOWN],
        "split": split,
        "tokenizer": tokenizer_signature(tokenizer),
        "protocol": method,
        "version": _version(),
    }
    return "|".join(f"{name}:{value}" for name, value in parts.items())


def tokenizer_signature(tokenizer: Tokenizer) -> str:
    """``KIND.SIZE.HASH``, with eight hexadecimal digits that differ between vocabularies."""
    digest = hashlib.sha256(json.dumps(tokenizer.to_dict(), sort_keys=True).encode()).hexdigest()
    return f"{tokenizer.kind}.{tokenizer.vocabulary_size}.{digest[:8]}"


def tokenizer_of(signature: str) -> str:
    """The part of a signature that identifies the tokenizer; empty if it has none."""
    return next((part.partition(":")[2] for part in signature.split("|") if part.startswith("tokenizer:")), "")


def _version() -> str:
    try:
        return importlib.metadata.version("textloom")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
