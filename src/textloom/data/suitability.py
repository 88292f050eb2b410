"""Warnings about settings that do not suit the text; each names what to set instead."""

import logging
from collections.abc import Iterator

import numpy as np

from textloom.config import DataConfig
from textloom.data.corpus import Facts
from textloom.data.encoding import Splits
from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

UNKNOWN_SHARE = 0.5  # of the characters of a split; less for words of a language with spaces, even in small texts
DISTINCT_SHARE = 0.7  # of the tokens; 0.2 in an English text of 2,000 words
FOLDED_SHARE = 0.5  # of the documents
SINGLE_SHARE = 0.4  # of the tokens; one word on every line, with line ends as tokens, comes to 0.5
SMALL = 1 << 20  # tokens; the vocabulary of a longer text is always smaller than it
SPLIT_AT_SPACES = ("word", "whitespace", "article")
OTHERS = dict.fromkeys(SPLIT_AT_SPACES, "tokenizer=char or tokenizer=bpe") | {
    "char": "tokenizer=byte or tokenizer=bpe",
    "pretrained": "tokenizer=bpe or tokenizer=char",
}
"""Tokenizers with fewer unknown tokens than each of these."""


def warn_if_unsuited(data: DataConfig, tokenizer: Tokenizer, splits: Splits, facts: Facts | None) -> None:
    """Log a warning for each setting that does not suit the text. ``facts``: None if the source was not read."""
    for line in (*_about_tokens(tokenizer, splits), *_about_documents(data, splits, facts)):
        log.warning("%s", line)


def _about_tokens(tokenizer: Tokenizer, splits: Splits) -> Iterator[str]:
    kind, train = tokenizer.kind, splits["train"]
    distinct = _distinct(train.tokens, tokenizer)
    unit = "word" if kind in SPLIT_AT_SPACES else "token"
    if train.targets == 1 or _single(distinct, train.tokens[1 : SMALL + 1], tokenizer):
        cure = f"set {_others(kind)}" if kind in SPLIT_AT_SPACES else "give another text"
        yield f"the training split holds a single {unit}, so that there is nothing to learn; {cure}"
        return
    shares = {name: part.unknown_characters / max(1, part.characters) for name, part in splits.items()}
    behind = [f"{share:.0%} in {name}" for name, share in shares.items() if share > UNKNOWN_SHARE]
    if behind:
        yield f"most characters are hidden behind <unk> ({', '.join(behind)}); set {_others(kind)}"
    targets, size = train.targets, tokenizer.vocabulary_size
    if len(distinct) > DISTINCT_SHARE * targets or size > targets:
        yield (
            f"the vocabulary is as large as the text: {size:,} entries, of which {len(distinct):,} occur in the "
            f"{targets:,} tokens of the training split; {_cure_for_size(kind, targets, size)}"
        )


def _single(distinct: np.ndarray, tokens: np.ndarray, tokenizer: Tokenizer) -> bool:
    """True if the text repeats one token; beside a word there may be line ends, and pieces at the cuts of splits."""
    if len(distinct) == 1:
        return bool(distinct[0] != tokenizer.unknown_id)
    if tokenizer.kind not in SPLIT_AT_SPACES or len(distinct) > 3:
        return False
    words = [token for token in distinct if token != tokenizer.unknown_id and tokenizer.decode([token]).strip()]
    return len(words) == 1 and float(np.mean(tokens == words[0])) > SINGLE_SHARE


def _distinct(tokens: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The distinct tokens without ends of documents; only those of the beginning of a long text."""
    distinct = np.unique(tokens[1 : SMALL + 1])
    return np.setdiff1d(distinct, [tokenizer.end_id])


def _others(kind: str) -> str:
    return OTHERS.get(kind, "tokenizer=char or tokenizer=bpe")


def _cure_for_size(kind: str, targets: int, size: int) -> str:
    smaller = max(300, targets // 10)
    if kind in ("bpe", "unigram"):
        sizes = f"tokenizer.maximum_size={smaller} or " if smaller < size else ""
        return f"set {sizes}tokenizer=char, or give more text"
    return "give more text" if kind in ("char", "byte") else f"set {_others(kind)}, or give more text"


def _about_documents(data: DataConfig, splits: Splits, facts: Facts | None) -> Iterator[str]:
    documents = sum(part.documents for part in splits.values())
    characters = sum(part.characters for part in splits.values())
    wanted = {"val": data.validation_fraction, "test": data.test_fraction} if data.by_share else {}
    for name, part in splits.items():
        share, asked = part.characters / max(1, characters), wanted.get(name, 0.0)
        single = part.documents == 1 and documents > len(splits)
        if asked and share > 2 * asked:
            yield (
                f"the {name} split has {share:.0%} of the text{' in one document' * single}, where {asked:.0%} were "
                "asked for: there are few documents (data.documents=blank_line makes more of text files)"
            )
        elif asked and single:
            fraction = "data.validation_fraction" if name == "val" else "data.test_fraction"
            yield (
                f"the {name} split is a single document of {documents:,}, on which all its figures depend; raise "
                f"{fraction}, or give more documents (data.documents=blank_line makes more of text files)"
            )
    folded, kept = (facts.duplicates_folded, facts.documents) if facts else (0, 0)
    if folded > FOLDED_SHARE * (folded + kept):
        yield (
            f"{folded:,} of {folded + kept:,} documents repeat another one except for case, punctuation and space, and "
            "are left out; data.fold_duplicates=false keeps them"
        )
