"""The part of a document that a model has read, as a value from which any number of texts can be continued.

Whole blocks of tokens are read by the model itself, whose products over a block are many times faster than steps. The
blocks begin at fixed places of the document, and the tokens after the last one are kept as they are. So the numbers do
not depend on where the reading was interrupted: continuing from a value gives, to the last digit, what reading the
document again would give.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from textloom.generation.step_settings import suited_to
from textloom.models.language_model import Decoder, LanguageModel
from textloom.models.state import State

BLOCK = 256  # tokens; those after the last whole block are read again, one by one, by each text that continues from it
CONTEXT = 64  # tokens before the place, from which the text of the next ones follows


@dataclass(frozen=True, eq=False)
class Reading:
    """The tokens that were read since the beginning of a document."""

    state: State | None
    """The state of one text after the last whole block; None before the first one, and for models of windows."""
    pending: tuple[int, ...]
    """The tokens after that block, 1 to ``BLOCK``; of a model of windows the last window."""
    context: tuple[int, ...]
    """The last tokens of the document, at most ``CONTEXT``; without the ``<eos>`` before it."""
    tokens: int
    """Tokens read, without the ``<eos>`` before the document."""

    @classmethod
    def beginning(cls, end_id: int) -> "Reading":
        """Nothing but the ``<eos>`` before a document."""
        return cls(None, (end_id,), (), 0)

    @torch.no_grad()
    def further(self, model: LanguageModel, ids: Sequence[int] | np.ndarray, window: int | None = None) -> "Reading":
        """The reading after some more tokens."""
        more = np.asarray(ids, dtype=np.int64)
        tail = tuple(more[-CONTEXT:].tolist())
        read = replace(self, context=(*self.context, *tail)[-CONTEXT:], tokens=self.tokens + len(more))
        pending = np.concatenate([np.array(self.pending, dtype=np.int64), more])
        if window is not None:
            return replace(read, pending=tuple(pending[-window:].tolist()))
        whole = (len(pending) - 1) // BLOCK * BLOCK  # at least one stays: the next is predicted from it
        state = self.state
        with _evaluating(model):
            for block in torch.from_numpy(pending[:whole]).to(model.device).view(-1, 1, BLOCK):
                _, state = model(block, state)
        return replace(read, state=state, pending=tuple(pending[whole:].tolist()))

    def to(self, device: torch.device) -> "Reading":
        """The same on a device."""
        return replace(self, state=None if self.state is None else tuple(part.to(device) for part in self.state))


def start(
    model: LanguageModel, readings: Sequence[Reading], window: int | None = None, never: int | None = None
) -> tuple[Decoder, torch.Tensor]:
    """A decoder in which text k has read ``readings[k]`` except its last token, and these last tokens, (texts,).

    With a window all readings must have the same number of pending tokens.
    """
    texts = len(readings)
    last = torch.tensor([reading.pending[-1] for reading in readings], device=model.device)
    if window is not None:
        decoder = model.decoder(texts, window, never)
        _read(decoder, [reading.pending[:-1] for reading in readings])
        return decoder, last
    if texts == 1:
        return _read_alone(model, readings[0], never), last
    decoder = model.decoder(texts, never=never)
    if all(reading is readings[0] for reading in readings):
        decoder.copy_row(_read_alone(model, readings[0]), slice(None))
    else:
        for row, reading in enumerate(readings):
            decoder.copy_row(_read_alone(model, reading), row)
    return decoder, last


def _read_alone(model: LanguageModel, reading: Reading, never: int | None = None) -> Decoder:
    """A decoder of one text that has read all but the last token."""
    decoder = model.decoder(1, never=never, state=reading.state)
    _read(decoder, [reading.pending[:-1]])
    return decoder


def _read(decoder: Decoder, texts: Sequence[Sequence[int]]) -> None:
    """Read the tokens of all texts, which are equally many, step by step."""
    with suited_to(decoder):
        for tokens in torch.tensor(texts, dtype=torch.long, device=decoder.device).unbind(1):
            decoder.read(tokens)


@contextmanager
def _evaluating(model: LanguageModel) -> Iterator[None]:
    """Switch the model to evaluation mode within the context."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
