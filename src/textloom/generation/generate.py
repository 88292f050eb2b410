"""Generate text: each drawn token is the next input."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from textloom.config import BatchingConfig, WindowsConfig
from textloom.errors import GenerationError
from textloom.generation.prompts import known_form, without_last_space
from textloom.generation.sampling import Sampling, TokenSampler
from textloom.models.language_model import Decoder, LanguageModel
from textloom.system.progress import advance
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import valid_text

DEFAULT_PROMPT_TOKENS = 10
PROMPT_SEARCHED = 10_000  # tokens that are searched for a sequence without unknown ones
SHORT_DOCUMENT = 5 * DEFAULT_PROMPT_TOKENS  # in tokens; a prompt would be too large a part of shorter ones
TOKENS_BETWEEN_CHECKS = 32  # whether all texts have ended; each check synchronizes with the device
RECORDING_PAYS = 200  # tokens; recording a step for a GPU takes about 0.1 s
THREADS_PAY = 1 << 21  # multiplications in a step; below it threads take longer to wake than to work

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Tokens to read, (texts,), and random numbers, (texts, 1) -> the tokens drawn, (texts,)."""


def window_of(batching: BatchingConfig) -> int | None:
    """The number of tokens in the windows that a model was trained on; None if it was trained with carried state."""
    return batching.context if isinstance(batching, WindowsConfig) else None


def default_prompt(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    """The first words of a text without an unknown one: the prompt of samples if none is given.

    Empty if documents are as short as names or titles: a sample is then a whole document.
    """
    lengths = np.diff(np.flatnonzero(tokens[:PROMPT_SEARCHED] == tokenizer.end_id))
    if len(lengths) and np.median(lengths) < SHORT_DOCUMENT:
        return ""
    longest: list[int] = []
    run: list[int] = []
    for token in tokens[:PROMPT_SEARCHED].tolist():
        run = [] if token in (tokenizer.end_id, tokenizer.unknown_id) else [*run, token]
        longest = max(longest, run, key=len)
        if len(longest) == DEFAULT_PROMPT_TOKENS:
            break
    text = tokenizer.decode(longest or tokens[1:2].tolist())
    return text.rstrip("\ufffd") or text  # an incomplete character


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    sampling: Sampling,
    window: int | None = None,
    seed: int | None = None,
) -> str:
    """One text; see ``generate_texts``."""
    return generate_texts(model, tokenizer, prompt, length, [sampling], window, seed)[0]


def generate_texts(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | None,
    length: int,
    samplings: Sequence[Sampling],
    window: int | None = None,
    seed: int | None = None,
) -> list[str]:
    """One text for each sampling, in one batch: the prompt and up to ``length`` tokens after it.

    A text is shorter if the model ends the document, and never contains ``<unk>``. With the same seed the first text,
    the second and so on get the same random numbers, however many there are. A model trained on windows reads its last
    ``window`` tokens again for every token, as in training; others carry their state. Without a prompt (None) each text
    is a document from its beginning. Raises GenerationError if the prompt is empty.
    """
    from_beginning = prompt is None
    prompt = without_last_space(tokenizer, valid_text(prompt or ""))
    if not prompt and not from_beginning:
        raise GenerationError('the prompt is empty; give the text to continue, such as prompt="deep learn"')
    prompt_ids = tokenizer.encode(known_form(tokenizer, prompt)).tolist()
    ids = [tokenizer.end_id, *prompt_ids]
    decoder = model.decoder(len(samplings), window, never=tokenizer.unknown_id)
    sampler = TokenSampler(samplings, tokenizer.vocabulary_size, decoder.device)
    uniforms = sampler.uniforms(seed, length)
    with torch.inference_mode(), _suited_to(decoder):
        last = ids[-window:] if window else ids
        drawn = _drawn(decoder, sampler, last, uniforms, end=tokenizer.end_id, begins=from_beginning)
    known = tokenizer.decode(prompt_ids)
    return [prompt + _after(known, tokenizer.decode([*prompt_ids, *row])) for row in drawn]


def _after(known: str, text: str) -> str:
    """The text without the prefix that both have. Some tokenizers change the end of a prompt when text follows it."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(known, text, strict=False))
    return text[sum(1 for _ in same) :]


def _drawn(
    decoder: Decoder,
    sampler: TokenSampler,
    ids: list[int],
    uniforms: torch.Tensor,
    *,
    end: int,
    begins: bool,
) -> list[list[int]]:
    """The tokens after ``ids`` in each text, up to its end; at least one if a document begins there."""

    def read_and_draw(tokens: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        decoder.read(tokens)
        return sampler.draw(decoder.score(), uniform)

    step: Step = read_and_draw
    length, texts, _ = uniforms.shape
    prompt = torch.tensor(ids, device=decoder.device)[:, None].repeat(1, texts)
    for tokens in prompt[:-1].unbind():
        decoder.read(tokens)
    tokens, drawn = prompt[-1], [prompt[:0]]
    if begins and length:
        decoder.read(tokens)
        scores = decoder.score().clone()
        scores[:, end] = -torch.inf
        tokens = sampler.draw(scores, uniforms[0])
        drawn, uniforms, length = [tokens[None]], uniforms[1:], length - 1
    recordable = decoder.recordable and decoder.device.type == "cuda"
    ended = torch.zeros(texts, dtype=torch.bool, device=decoder.device)
    for begin in range(0, length, TOKENS_BETWEEN_CHECKS):
        some = uniforms[begin : begin + TOKENS_BETWEEN_CHECKS].unbind()
        drawn.append(torch.stack([tokens := step(tokens, uniform) for uniform in some]))
        advance(len(some))
        ended |= (drawn[-1] == end).any(dim=0)
        if ended.all():
            break
        if recordable and length >= RECORDING_PAYS and len(drawn) == 2:
            step = _recorded(step, tokens, uniforms[0])
    return [_until(end, row) for row in torch.cat(drawn).t().tolist()]


def _until(end: int, tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens


def _recorded(step: Step, tokens: torch.Tensor, uniform: torch.Tensor) -> Step:
    """The same step as one CUDA graph. The step must have run before, so that libraries are initialized."""
    read, number = tokens.clone(), uniform.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # records, runs nothing
        written = step(read, number)

    def replay(tokens: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        read.copy_(tokens)
        number.copy_(uniform)
        graph.replay()
        return written.clone()

    return replay


@contextmanager
def _suited_to(decoder: Decoder) -> Iterator[None]:
    """Use one thread for small steps, and allow a GPU's cumulative sum, which is not deterministic."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    few = decoder.multiplications < THREADS_PAY and decoder.device.type == "cpu"
    if few and threads > 1:
        torch.set_num_threads(1)
    if deterministic and decoder.device.type == "cuda":  # there is no deterministic cumsum
        torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        if few and threads > 1:
            torch.set_num_threads(threads)
        if deterministic and decoder.device.type == "cuda":
            torch.use_deterministic_algorithms(True)
