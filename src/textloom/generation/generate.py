"""Generate text: each drawn token is the next input."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from textloom.config import BatchingConfig, WindowsConfig
from textloom.config.generation import MOST_ROWS
from textloom.errors import GenerationError
from textloom.generation.beams import search
from textloom.generation.prompts import prompt_ids, without_last_space
from textloom.generation.reading import CONTEXT, Reading, start
from textloom.generation.requests import Generated, Opening, Place, Request, Rules
from textloom.generation.sampling import Sampling, TokenSampler, text_seeds
from textloom.generation.step_settings import suited_to
from textloom.generation.text import GrowingText, Limits
from textloom.models.language_model import Decoder, LanguageModel
from textloom.system.progress import advance
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import valid_text

DEFAULT_PROMPT_TOKENS = 10
PROMPT_SEARCHED = 10_000  # tokens that are searched for a sequence without unknown ones
SHORT_DOCUMENT = 5 * DEFAULT_PROMPT_TOKENS  # in tokens; a prompt would be too large a part of shorter ones
TOKENS_BETWEEN_CHECKS, MOST_BETWEEN_CHECKS = 32, 256  # whether all texts have ended, which synchronizes with the device
SOON = 0.01  # seconds; if the tokens between two checks take less, their number is doubled
ALONE = Place()
RECORDING_PAYS = 200  # tokens; recording a step for a GPU takes about 0.1 s

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
    opening = open_prompt(model, tokenizer, prompt, window)
    seeds = text_seeds(seed, len(samplings))
    requests = [Request(opening, sampling, one) for sampling, one in zip(samplings, seeds, strict=True)]
    return [one.text for one in draw_texts(model, tokenizer, requests, Rules(Limits(length), window=window))]


def open_prompt(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | None,
    window: int | None = None,
    before: Reading | None = None,
) -> Opening:
    """Read a prompt, from the beginning of a document or after a reading. None: a new document, or nothing more.

    Raises GenerationError if the prompt is empty.
    """
    begins = prompt is None and before is None
    prompt = without_last_space(tokenizer, valid_text(prompt or ""))
    if not prompt and not begins and before is None:
        raise GenerationError('the prompt is empty; give the text to continue, such as prompt="deep learn"')
    before = before or Reading.beginning(tokenizer.end_id)
    ids = prompt_ids(tokenizer, prompt, before.context)
    reading = before.further(model, ids, window)
    return Opening(prompt, tuple(ids), reading, begins)


def draw_texts(
    model: LanguageModel, tokenizer: Tokenizer, requests: Sequence[Request], rules: Rules
) -> list[Generated]:
    """The texts of all requests, in their order; at most ``MOST_ROWS`` are drawn side by side."""
    if rules.beams is not None:
        return _search_texts(model, tokenizer, requests, rules)
    found: dict[int, Generated] = {}
    for rows in _batches(requests, rules.window):
        texts = _new_texts(tokenizer, [requests[row] for row in rows], rules, watched=rules.limits.watch_text)
        for _ in grow(model, tokenizer, [requests[row] for row in rows], rules, texts):
            pass
        places = [Place(row, len(rows)) for row in range(len(rows))]
        for number, text, place in zip(rows, texts, places, strict=True):
            found[number] = _generated(requests[number], text, place)
    return [found[number] for number in range(len(requests))]


def draw_again(model: LanguageModel, tokenizer: Tokenizer, request: Request, rules: Rules, place: Place) -> Generated:
    """A text as it is drawn in this place of a batch, to the last digit; what the other rows hold does not matter."""
    return draw_texts(model, tokenizer, [request] * place.rows, rules)[place.row]


def _search_texts(
    model: LanguageModel, tokenizer: Tokenizer, requests: Sequence[Request], rules: Rules
) -> list[Generated]:
    """The best texts of each opening, as many as there are requests with it; fewer if there are no more."""
    found: list[Generated] = []
    for _, same in itertools.groupby(requests, key=lambda request: request.opening):
        wanted = list(same)
        best = search(model, tokenizer, wanted[0], rules, most=len(wanted))
        for request, one in zip(wanted, best, strict=False):
            (text,) = _new_texts(tokenizer, [request], rules, watched=rules.limits.watch_text)
            text.add([*one.tokens, tokenizer.end_id], one.logprobs)
            found.append(_generated(request, text, score=one.score))
    return found


def stream_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    request: Request,
    rules: Rules,
    done: Callable[[Generated], None] | None = None,
) -> Iterator[str]:
    """The text of one request, its prompt first, in pieces while it is drawn; ``done`` gets it when it is whole."""
    yield request.opening.prompt
    texts, shown = _new_texts(tokenizer, [request], rules, watched=True), 0
    for _ in grow(model, tokenizer, [request], rules, texts):
        new = texts[0].text[shown : texts[0].settled]
        if new:
            yield new
            shown += len(new)
    if done is not None:
        done(_generated(request, texts[0]))


def _batches(requests: Sequence[Request], window: int | None) -> Iterator[list[int]]:
    """Indices of the requests in each batch; with a window, all of a batch have read the same number of tokens."""
    groups: dict[int, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault(len(request.opening.reading.pending) if window else 0, []).append(number)
    for rows in groups.values():
        yield from (rows[begin : begin + MOST_ROWS] for begin in range(0, len(rows), MOST_ROWS))


def _new_texts(tokenizer: Tokenizer, requests: Sequence[Request], rules: Rules, watched: bool) -> list[GrowingText]:
    # a short prompt is the whole context: some tokenizers decode a word depending on tokens far before it
    contexts = [request.opening.ids if request.opening.reading.tokens < 4 * CONTEXT else () for request in requests]
    return [
        GrowingText(tokenizer, rules.limits, context or request.opening.reading.context, watched)
        for request, context in zip(requests, contexts, strict=True)
    ]


def _generated(request: Request, text: GrowingText, place: Place = ALONE, score: float | None = None) -> Generated:
    prompt = request.opening.prompt
    assert text.ending is not None
    whole = prompt + text.finish()
    return Generated(whole, prompt, text.tokens, text.logprobs, request.seed, text.ending, place, score)


# --- the steps ------------------------------------------------------------------------------------------------------


def grow(
    model: LanguageModel,
    tokenizer: Tokenizer,
    requests: Sequence[Request],
    rules: Rules,
    texts: Sequence[GrowingText],
) -> Iterator[None]:
    """Draw the tokens of all texts side by side until each has ended; pauses when each has got some."""
    never, end, length = tokenizer.unknown_id, tokenizer.end_id, rules.limits.length
    openings = [request.opening for request in requests]
    with torch.inference_mode():
        decoder, tokens = start(model, [opening.reading for opening in openings], rules.window, never)
    samplings = [request.sampling for request in requests]
    sampler = TokenSampler(samplings, tokenizer.vocabulary_size, decoder.device, rules.tokens)
    sampler.begin([opening.ids for opening in openings])
    blocks = sampler.uniform_blocks([request.seed for request in requests], length)
    steps = _Steps(decoder, sampler, rules.with_logprobs, length)
    begins = any(opening.begins for opening in openings)
    between = TOKENS_BETWEEN_CHECKS
    for block in blocks:
        while len(block):
            some, block = block[:between], block[between:]
            began = time.perf_counter()
            with torch.inference_mode(), suited_to(decoder):
                drawn, scores = steps.draw(tokens, some, end if begins else None)
            tokens, begins = drawn[-1], False
            rows, logprobs = drawn.t().tolist(), scores.t().tolist() if rules.with_logprobs else [[]] * len(texts)
            if time.perf_counter() - began < SOON:
                between = min(2 * between, MOST_BETWEEN_CHECKS)
            for text, row, numbers in zip(texts, rows, logprobs, strict=True):
                text.add(row, numbers)
            advance(len(rows[0]))
            yield
            if all(text.ending is not None for text in texts):
                return


class _Steps:
    """Draws tokens, some steps at a time; long texts on a GPU by a recorded step."""

    def __init__(self, decoder: Decoder, sampler: TokenSampler, with_logprobs: bool, length: int):
        self._decoder, self._sampler, self._with_logprobs = decoder, sampler, with_logprobs
        plain = not with_logprobs and not sampler.remembers
        self._record = plain and decoder.recordable and decoder.device.type == "cuda" and length >= RECORDING_PAYS
        self._step: Step = self._read_and_draw

    def draw(
        self, tokens: torch.Tensor, uniforms: torch.Tensor, not_first: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens, (steps, texts), from those before them, (texts,); and their log-probabilities, if they are wanted.

        The first tokens are not ``not_first``.
        """
        if not_first is None and not self._with_logprobs:
            drawn = torch.stack([tokens := self._step(tokens, uniform) for uniform in uniforms.unbind()])
            if self._record:
                self._step, self._record = _recorded(self._step, tokens, uniforms[0]), False
            return drawn, torch.empty(0)
        found: list[torch.Tensor] = []
        logprobs: list[torch.Tensor] = []
        for number, uniform in enumerate(uniforms.unbind()):
            self._decoder.read(tokens)
            scores = self._decoder.score()
            if number == 0 and not_first is not None:
                scores = scores.clone()
                scores[:, not_first] = -torch.inf
            tokens = self._sampler.draw(scores, uniform)
            found.append(tokens)
            if self._with_logprobs:
                logprobs.append(scores.log_softmax(dim=1).gather(1, tokens[:, None]).squeeze(1))
        return torch.stack(found), torch.stack(logprobs) if logprobs else torch.empty(0)

    def _read_and_draw(self, tokens: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        self._decoder.read(tokens)
        return self._sampler.draw(self._decoder.score(), uniform)


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
