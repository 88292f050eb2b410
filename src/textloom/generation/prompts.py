"""Prompts as a model reads them: in the form that its training text had."""

import re
import unicodedata

from textloom.tokenizers import Tokenizer

SPACES = re.compile(r"(\s+)")


def without_last_space(tokenizer: Tokenizer, prompt: str) -> str:
    """The prompt as it is read: the space before the next word is the model's to write, where it belongs to a word."""
    return prompt.rstrip(" ") if tokenizer.writes_spaces else prompt


def known_form(tokenizer: Tokenizer, prompt: str) -> str:
    """The prompt with words in another case or normalization form if the vocabulary has more of them so."""
    if tokenizer.unknown_id is None or not tokenizer.unknown(prompt):
        return prompt
    return "".join(_known_word(tokenizer, word) for word in SPACES.split(prompt))


def unknown_pieces(tokenizer: Tokenizer, prompt: str) -> list[str]:
    """The pieces of a prompt that a model reads as ``<unk>``, each once."""
    return list(dict.fromkeys(tokenizer.unknown(known_form(tokenizer, without_last_space(tokenizer, prompt)))))


def shorter_than_window(tokenizer: Tokenizer, prompt: str, window: int) -> str | None:
    """What to log about a prompt that does not fill the window which a model was trained on; None if it does."""
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
