"""Pieces of words, trained by Hugging Face's ``tokenizers`` on the bytes of the text, so that no text is unknown."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import regex
import tokenizers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer, UnigramTrainer

from textloom.tokenizers.base import Encoded, Tokenizer, blocks, last_match
from textloom.tokenizers.byte import id_array, text_of_bytes, valid_text
from textloom.tokenizers.splitting.pretokens import LONGEST, pre_tokenizer_for, repetitive, spread

TRAINED_ON = 1 << 25  # characters; more text would change few pieces, and its words are all in memory
CUT = regex.compile(r"(?<=\w)[ \n](?=\w)")
SCORE_STEP = 1e-4  # difference between the scores of dropped bytes, in the trainer


def _symbols_of_bytes() -> list[str]:
    """The printable character that stands for each byte in ``ByteLevel``, as in GPT-2's encoder.py."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


BYTE_SYMBOLS = _symbols_of_bytes()


@dataclass(frozen=True)
class SubwordTokenizer(Tokenizer):
    """The ids of a trained model, and ``<eos>`` after them, which no text can produce."""

    block: ClassVar[int] = 1 << 15  # the library needs 400 bytes for each token

    definition: str
    """The content of a ``tokenizer.json`` as the library writes it."""
    lowercase: bool

    @classmethod
    def fit(cls, documents: Iterable[Iterable[str]], lowercase: bool, maximum_size: int) -> Self:
        """Train on some documents; on a sample of a long text that is spread over all of it."""
        texts = (block for document in documents for block in blocks(document, cut_before_space, cls.block))
        sample = [valid_text(text.lower() if lowercase else text) for text in spread(texts, TRAINED_ON)]
        return cls(cls._train(sample, maximum_size - 1).to_str(), lowercase)

    @staticmethod
    def _train(texts: list[str], size: int) -> tokenizers.Tokenizer:
        raise NotImplementedError

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return int(self._model.get_vocab_size()) + 1

    @property
    def unknown_id(self) -> None:
        """None, because every text is bytes."""
        return None

    @property
    def end_id(self) -> int:
        """The id of ``<eos>``."""
        return self.vocabulary_size - 1

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; bytes that are not UTF-8, which a model may write, become U+FFFD."""
        return text_of_bytes(b"".join([self._bytes[i] for i in id_array(ids).tolist()]))

    def pieces(self) -> list[bytes]:
        """The bytes of each id; none for ``<eos>``."""
        return self._bytes

    def safe_cut(self, text: str) -> tuple[str, str]:
        """Cut before white space between two words; if there is none, between two pre-tokens."""
        head, rest = cut_before_space(text)
        if head or self.lowercase:  # lower case may depend on the letter before or after
            return head, rest
        pieces = self._model.pre_tokenizer.pre_tokenize_str(valid_text(text))
        for _, (start, end) in reversed(pieces[:-1]):  # the split of white space depends on the text after it
            if not text[end - 1].isspace() or end - start == LONGEST:
                return text[:end], text[end:]
        return "", text

    def to_dict(self) -> dict[str, Any]:
        """The definition, and whether case is folded."""
        return {"level": self.kind, **asdict(self)}

    @cached_property
    def _model(self) -> tokenizers.Tokenizer:
        return read_definition(self.definition)

    @cached_property
    def _bytes(self) -> list[bytes]:
        """The bytes of each id; none for ``<eos>``."""
        byte_of = {symbol: byte for byte, symbol in enumerate(BYTE_SYMBOLS)}
        symbols = {i: symbol for symbol, i in self._model.get_vocab().items()}
        return [*(bytes(byte_of[one] for one in symbols[i]) for i in range(len(symbols))), b""]

    def _encode(self, text: str) -> Encoded:
        text = valid_text(text.lower() if self.lowercase else text)
        encoding = self._model.encode_batch_fast([text], add_special_tokens=False)[0]
        return Encoded(np.array(encoding.ids, dtype=self.dtype), [])


@dataclass(frozen=True)
class BPETokenizer(SubwordTokenizer):
    """Byte-pair encoding (Sennrich, Haddow and Birch 2016): the most frequent pairs are merged."""

    kind: ClassVar[str] = "bpe"

    @staticmethod
    def _train(texts: list[str], size: int) -> tokenizers.Tokenizer:
        trainer = BpeTrainer(vocab_size=size, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
        return _trained(BPE(), trainer, texts)


@dataclass(frozen=True)
class UnigramTokenizer(SubwordTokenizer):
    """The likeliest pieces under a unigram model (Kudo 2018, "Subword Regularization")."""

    kind: ClassVar[str] = "unigram"

    @staticmethod
    def _train(texts: list[str], size: int) -> tokenizers.Tokenizer:
        trainer = UnigramTrainer(
            vocab_size=size, initial_alphabet=ByteLevel.alphabet(), special_tokens=[], show_progress=False
        )
        return _in_one_order(_trained(Unigram(), trainer, repetitive(texts)))


def _trained(model: Any, trainer: Any, texts: list[str]) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer_for(texts)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _in_one_order(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Make the result reproducible: the trainer sums in the order of a hash table, which differs every time.

    Bytes that training dropped come back in random order just above the lowest score; here they all have that score.
    """
    content = json.loads(tokenizer.to_str())
    pieces = content["model"]["vocab"]
    lowest = min(score for _, score in pieces)
    dropped_below = lowest + len(BYTE_SYMBOLS) * SCORE_STEP
    scores = {p: round(lowest if len(p) == 1 and score < dropped_below else score, 4) for p, score in pieces}
    content["model"]["vocab"] = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))
    return read_definition(json.dumps(content))


def read_definition(definition: str) -> tokenizers.Tokenizer:
    """The tokenizer that a ``tokenizer.json`` defines. Raises ValueError if the library cannot read it."""
    try:
        return tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises no other class
        raise ValueError(f"not a tokenizer.json that tokenizers {tokenizers.__version__} reads ({error})") from error


def cut_before_space(text: str) -> tuple[str, str]:
    """Cut a text before the last white space between two words."""
    space = last_match(CUT, text)
    return ("", text) if space is None else (text[: space.start()], text[space.start() :])
