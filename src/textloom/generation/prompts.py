"""Prompts in the form of the training text, in which a model reads them."""

import logging
import re
import unicodedata
from collections.abc import Sequence

from textloom.config.source_keys import Form
from textloom.data.normalization import normalize_text
from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

SPACES = re.compile(r"(\s+)")


def without_last_space(tokenizer: Tokenizer, prompt: str) -> str:
    """The prompt without spaces at its end, if the tokenizer has tokens that contain the space before a word."""
    return prompt.rstrip(" ") if tokenizer.writes_spaces else prompt


def known_form(tokenizer: Tokenizer, prompt: str) -> str:
    """The prompt, each word in the case and normalization form of which the vocabulary has most pieces."""
    if tokenizer.unknown_id is None or not tokenizer.unknown(prompt):
        return prompt
    known: dict[str, str] = {}
    words = SPACES.split(prompt)
    for word in words:
        if word not in known:
            known[word] = _known_word(tokenizer, word)
    return "".join(known[word] for word in words)


def encode_after(tokenizer: Tokenizer, context: Sequence[int], text: str) -> list[int]:
    """The tokens of a text that continues from some tokens, which tell whether a space before it is expected."""
    if tokenizer.writes_spaces and text and context:
        before = tokenizer.decode(context)
        known, ids = tokenizer.encode(before).tolist(), tokenizer.encode(before + text).tolist()
        if ids[: len(known)] == known:
            return [*ids[len(known) :]]
    return [*tokenizer.encode(text).tolist()]


def prompt_ids(tokenizer: Tokenizer, prompt: str, context: Sequence[int]) -> list[int]:
    """The tokens of a prompt that continues from some tokens, in the form that the vocabulary knows best."""
    return encode_after(tokenizer, context, known_form(tokenizer, without_last_space(tokenizer, prompt)))


def read_prompt(
    prompt: str, tokenizer: Tokenizer, form: Form | None, key: str | None = None, *, goes_on: bool = False
) -> str:
    """The prompt in the normalization form of the training text.

    Log a warning that names the key, if there is one, for what is not in the vocabulary. A space at the beginning is
    expected if the prompt ``goes_on`` from another text.
    """
    prompt = normalize_text(prompt, form)
    if key is not None and (unknown := unknown_pieces(tokenizer, prompt.lstrip(" ") if goes_on else prompt)):
        log.warning("%s: not in the vocabulary, read as <unk>: %s", key, " ".join(map(repr, unknown)))
    return prompt


def unknown_pieces(tokenizer: Tokenizer, prompt: str) -> list[str]:
    """The pieces of a prompt that a model reads as ``<unk>``, each once."""
    return list(dict.fromkeys(tokenizer.unknown(known_form(tokenizer, without_last_space(tokenizer, prompt)))))


def shorter_than_window(tokenizer: Tokenizer, prompt: str, window: int) -> str | None:
    """A note for the log if a prompt is shorter than the windows that a model was trained on; else None."""
    tokens = len(tokenizer.encode(known_form(tokenizer, without_last_space(tokenizer, prompt))))
    if tokens >= window:
        return None
    return (
        f"the prompt has {tokens} tokens, and the model was trained on windows of {window}: it has met shorter texts "
        "only at the beginnings of documents, so that a longer prompt may be continued better"
    )


def _known_word(tokenizer: Tokenizer, word: str) -> str:
    unknown = len(tokenizer.unknown(word))
    if not unknown:
        return word
    composed, decomposed = (unicodedata.normalize(form, word) for form in ("NFC", "NFD"))
    forms = [word, composed, decomposed, composed.lower(), decomposed.lower(), composed.casefold(), composed.upper()]
    return min(forms, key=lambda form: len(tokenizer.unknown(form)))
