"""The prompt of a request with the log-probabilities of its tokens."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import torch

from textloom.generation.reading import Reading
from textloom.generation.scoring import hidden_blocks
from textloom.generation.text import Writing
from textloom.models.language_model import LanguageModel
from textloom.serving.rows import likeliest_tokens
from textloom.serving.texts import TokenInfo
from textloom.tokenizers import Tokenizer

IMPOSSIBLE = -9999.0
"""In the place of minus infinity, which JSON lacks, as in OpenAI's answers."""


@dataclass
class ScoredPrompt:
    """The tokens of a prompt, and the model's prediction after it."""

    tokens: list[TokenInfo] = field(default_factory=list)
    next: list[tuple[int, float]] = field(default_factory=list)
    """The likeliest tokens after the prompt, with their log-probabilities."""

    @property
    def text(self) -> str:
        """The text of the tokens."""
        return "".join(info.text for info in self.tokens)


@torch.no_grad()
def score_prompt(
    model: LanguageModel, tokenizer: Tokenizer, reading: Reading, ids: Sequence[int], *, most: int, window: int | None
) -> Generator[None, None, ScoredPrompt]:
    """Score some tokens after a reading, with the ``most`` likeliest tokens at each place.

    Pauses after each block of tokens.
    """
    scored, writing, offset = ScoredPrompt(), Writing(tokenizer, reading.context), 0
    targets = torch.tensor(ids, dtype=torch.long, device=model.device)
    for hidden in hidden_blocks(model, reading, ids, window):  # (places, units)
        logprobs = model.logits(hidden).log_softmax(dim=1)  # (places, vocabulary)
        likeliest = likeliest_tokens(logprobs, min(most, model.vocabulary_size))
        some = targets[len(scored.tokens) :][: len(hidden)]
        own = logprobs[: len(some)].gather(1, some[:, None]).squeeze(1)
        for token, logprob, best in zip(some.tolist(), own.tolist(), likeliest, strict=False):
            text = writing.add([token])
            scored.tokens.append(TokenInfo(token, text, offset, max(logprob, IMPOSSIBLE), best))
            offset += len(text)
        scored.next = likeliest[-1] if likeliest else scored.next
        yield
    return scored


@torch.no_grad()
def expected_next(
    model: LanguageModel, reading: Reading, ids: Sequence[int], *, most: int, window: int | None
) -> Generator[None, None, ScoredPrompt]:
    """The ``most`` likeliest tokens after some tokens, which are not scored themselves.

    Pauses after each block of tokens.
    """
    for hidden in hidden_blocks(model, reading, ids, window):
        last = hidden[-1:]
        yield
    (likeliest,) = likeliest_tokens(model.logits(last).log_softmax(dim=1), min(most, model.vocabulary_size))
    return ScoredPrompt(next=likeliest)
