"""The likelihood of a text that continues from what a model has read."""

from collections.abc import Generator, Iterator, Sequence

import torch

from textloom.errors import DataError
from textloom.evaluation.text import TextScore
from textloom.generation.prompts import encode_after
from textloom.generation.reading import BLOCK, Reading
from textloom.models.language_model import LanguageModel
from textloom.tokenizers import Tokenizer


def score_after(
    model: LanguageModel, tokenizer: Tokenizer, reading: Reading, text: str, *, ends: bool, window: int | None
) -> TextScore:
    """Score every token of a text after a reading, in float32; with ``ends`` the end of the document too.

    Raises DataError for an empty text.
    """
    blocks = score_blocks(model, tokenizer, reading, text, ends=ends, window=window)
    while True:
        try:
            next(blocks)
        except StopIteration as end:
            score: TextScore = end.value
            return score


@torch.no_grad()
def score_blocks(
    model: LanguageModel, tokenizer: Tokenizer, reading: Reading, text: str, *, ends: bool, window: int | None
) -> Generator[None, None, TextScore]:
    """The same with a pause after each block of tokens, in which the caller can do something else."""
    ids = encode_after(tokenizer, reading.context, text) + ([tokenizer.end_id] if ends else [])
    if not ids:
        raise DataError("score: the text is empty; give at least one character")
    targets, nats, correct = torch.tensor(ids, device=model.device), 0.0, 0
    for hidden in hidden_blocks(model, reading, ids[:-1], window):
        wanted, targets = targets[: len(hidden)], targets[len(hidden) :]
        if len(wanted):
            of_targets, likeliest = model.nats_and_argmax(hidden, wanted)
            nats += float(of_targets.cpu().double().sum())
            correct += int((likeliest == wanted).sum())
        yield
    unknown = sum(token == tokenizer.unknown_id for token in ids)
    return TextScore(nats / len(ids), len(ids), max(1, len(text)), unknown, correct / len(ids))


def hidden_blocks(
    model: LanguageModel, reading: Reading, ids: Sequence[int], window: int | None
) -> Iterator[torch.Tensor]:
    """The hidden states from which each of some tokens after a reading is predicted, and the token after them.

    A block at a time, (places, units); a block may have no places.
    """
    inputs = torch.tensor([*reading.pending, *ids], device=model.device)
    before = len(reading.pending) - 1  # hidden states that predict tokens of the reading
    for hidden in _by_block(model, reading, inputs) if window is None else _by_window(model, inputs, window):
        yield hidden[before:]
        before = max(0, before - len(hidden))


def _by_block(model: LanguageModel, reading: Reading, inputs: torch.Tensor) -> Iterator[torch.Tensor]:
    """Hidden states after each input, a block at a time, as the text is read."""
    state = reading.state
    for block in torch.split(inputs, BLOCK):
        hidden, state = model(block[None], state)
        yield hidden[0]


def _by_window(model: LanguageModel, inputs: torch.Tensor, window: int) -> Iterator[torch.Tensor]:
    """The same for a model that reads the last ``window`` tokens for each target."""
    ends: Sequence[int] = range(1, len(inputs) + 1)
    for begin in range(0, len(ends), BLOCK):
        contexts = [inputs[max(0, end - window) : end] for end in ends[begin : begin + BLOCK]]
        whole = [context for context in contexts if len(context) == window]
        short = [model(context[None])[0][:, -1] for context in contexts if len(context) < window]
        yield torch.cat([*short, *([model(torch.stack(whole))[0][:, -1]] if whole else [])])
