"""Text from a model, each token fed back to draw the next."""

import itertools

import numpy as np
import torch

from textloom.config import BatchingConfig, WindowsConfig
from textloom.errors import GenerationError
from textloom.generation.sampling import Sampling, draw
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.tokenizers import Tokenizer

DEFAULT_PROMPT_TOKENS = 10
PROMPT_SEARCHED = 10_000  # tokens looked through for a beginning without unknown ones


def window_of(batching: BatchingConfig) -> int | None:
    """The context that a model was trained with: a number of tokens, or None where it carried its state."""
    return batching.context if isinstance(batching, WindowsConfig) else None


def default_prompt(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    """The first words of a text that are all known: what samples go on from where no prompt is given."""
    longest: list[int] = []
    run: list[int] = []
    for token in tokens[:PROMPT_SEARCHED].tolist():
        run = [] if token in (tokenizer.end_id, tokenizer.unknown_id) else [*run, token]
        longest = max(longest, run, key=len)
        if len(longest) == DEFAULT_PROMPT_TOKENS:
            break
    text = tokenizer.decode(longest or tokens[1:2].tolist())
    return text.rstrip("\ufffd") or text  # a character that is cut in the middle


def generate(
    model: RecurrentLanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    sampling: Sampling,
    window: int | None = None,
    seed: int | None = None,
) -> str:
    """The prompt and up to ``length`` tokens more; the model may end the document earlier. It never writes ``<unk>``.

    A model trained on windows reads its last ``window`` tokens anew for every token, as it did in training; others
    carry their state. Raises GenerationError for an empty prompt.
    """
    prompt = without_last_space(tokenizer, prompt)
    if not prompt:
        raise GenerationError('the prompt is empty; give the text to go on from, such as prompt="deep learn"')
    generator = torch.Generator(device=model.softmax.weight.device)
    generator.seed() if seed is None else generator.manual_seed(seed)
    prompt_ids = tokenizer.encode(prompt).tolist()
    ids = [tokenizer.end_id, *prompt_ids]
    training = model.training
    model.eval()
    try:
        ids += _continue(model, ids, length, sampling, tokenizer, window, generator)
    finally:
        model.train(training)
    known, text = tokenizer.decode(prompt_ids), tokenizer.decode(ids[1:])
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(known, text, strict=False))
    return prompt + text[sum(1 for _ in same) :]  # all but what is known; some decoders mend the end of the prompt


def without_last_space(tokenizer: Tokenizer, prompt: str) -> str:
    """The prompt as it is read: the space before the next word is the model's to write, where it belongs to a word."""
    return prompt.rstrip(" ") if tokenizer.writes_spaces else prompt


@torch.inference_mode()
def _continue(
    model: RecurrentLanguageModel,
    ids: list[int],
    length: int,
    sampling: Sampling,
    tokenizer: Tokenizer,
    window: int | None,
    generator: torch.Generator,
) -> list[int]:
    device = model.softmax.weight.device
    drawn: list[int] = []
    unread, state = ids, None
    for _ in range(length):
        context = (ids + drawn)[-window:] if window else unread
        hidden, state = model(torch.tensor([context], device=device), None if window else state)
        logits = model.logits(hidden[:, -1])  # (1, vocabulary)
        if tokenizer.unknown_id is not None:
            logits[:, tokenizer.unknown_id] = float("-inf")
        token = int(draw(logits, sampling, generator))
        if token == tokenizer.end_id:
            break
        drawn.append(token)
        unread = [token]
    return drawn
