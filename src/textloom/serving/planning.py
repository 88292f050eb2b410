"""What a completion request asks for: its prompts as tokens, and how each text is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from textloom.errors import RunError
from textloom.generation.reading import Reading
from textloom.generation.sampling import Sampling, text_seeds
from textloom.generation.text import Limits
from textloom.serving.completions import Completion, Prompt
from textloom.serving.errors import ApiError
from textloom.serving.requests import MOST_ECHOED, MOST_TEXTS, CompletionRequest
from textloom.serving.rows import Drawing
from textloom.serving.served import Served
from textloom.serving.states import StateStore
from textloom.serving.texts import TextRequest


@dataclass(frozen=True)
class Bounds:
    """The most that a request may ask for, in tokens."""

    tokens: int
    prompt_tokens: int


def plan_completion(request: CompletionRequest, served: Served, states: StateStore, bounds: Bounds) -> Completion:
    """Plan the texts of a request. May take long. Raises ApiError if the request cannot be fulfilled."""
    if request.max_tokens > bounds.tokens:
        message = f"max_tokens: {request.max_tokens} tokens, and there may be {bounds.tokens}; ask for fewer"
        raise ApiError(400, message, param="max_tokens", code="max_tokens_too_large")
    before = None if request.state_id is None else read_state(states, request.state_id, served)
    reading = before or Reading.beginning(served.tokenizer.end_id)
    prompts = [_prompt(served, one, reading.context) for one in _prompts(request)]
    longest = max(len(prompt.ids) for prompt in prompts)
    if longest > bounds.prompt_tokens:
        message = f"prompt: {longest} tokens, and there may be {bounds.prompt_tokens}; shorten it"
        raise ApiError(400, message, param="prompt", code="context_length_exceeded")
    count = len(prompts) * request.drawn
    if count > MOST_TEXTS:
        message = f"n: {count} texts, and there may be {MOST_TEXTS}; ask for fewer"
        raise ApiError(400, message, param="n", code="too_many_texts")
    echoed = request.drawn * sum(len(prompt.ids) for prompt in prompts)
    if request.echo and request.logprobs is not None and echoed > MOST_ECHOED:
        message = f"echo: {echoed} tokens with log-probabilities, and there may be {MOST_ECHOED}; shorten the prompt"
        raise ApiError(400, message, param="echo", code="context_length_exceeded")
    sampling, bias, logprobs = _sampling(request), _bias(request, served), request.logprobs
    if logprobs is None and request.drawn > request.n:
        logprobs = 0  # by which the best are found
    limits = Limits(request.max_tokens, request.stops)
    texts = []
    for number, seed in enumerate(text_seeds(request.seed, count)):
        prompt = prompts[number // request.drawn]
        drawing = Drawing(sampling, seed, not prompt.ids and before is None, logprobs, bias, prompt.ids)
        text = TextRequest(reading, prompt.ids, drawing, limits, streamed=request.stream, store=request.store)
        texts.append(text)
    return Completion(request, served, states, prompts, texts)


def _sampling(request: CompletionRequest) -> Sampling:
    return Sampling(
        request.temperature,
        request.top_k,
        None if request.top_p == 1 else request.top_p,
        request.min_p,
        request.typical_p,
        request.repetition_penalty,
        request.presence_penalty,
        request.frequency_penalty,
    )


def _bias(request: CompletionRequest, served: Served) -> tuple[tuple[int, float], ...]:
    """The bias by token. Raises ApiError for a token that there is not."""
    bias = {int(token): number for token, number in request.logit_bias.items()}
    if bias and max(bias) >= served.tokenizer.vocabulary_size:
        raise _no_token("logit_bias", max(bias), served)
    return tuple(bias.items())


def _no_token(param: str, token: int, served: Served) -> ApiError:
    message = f"{param}: there is no token {token}; the vocabulary has {served.tokenizer.vocabulary_size}"
    return ApiError(400, message, param=param, code="invalid_value")


def read_state(states: StateStore, name: str, served: Served) -> Reading:
    """The reading of a stored state. Raises ApiError if there is no such state of this model."""
    try:
        state = states.get(name)
    except RunError as error:  # whose message names a file
        message = "the state is damaged; read its text again"
        raise ApiError(410, message, param="state_id", code="state_damaged") from error
    if state is None:
        message = "there is no such state; it may have been removed, as too old or to make room"
        raise ApiError(404, message, param="state_id", code="state_not_found")
    if state.signature != served.signature:
        message = "the state is of another model; name that one"
        raise ApiError(400, message, param="state_id", code="state_of_another_model")
    return state.reading_for(served.signature, served.model.device)


def _prompts(request: CompletionRequest) -> Sequence[str | Sequence[int]]:
    prompt = request.prompt
    if prompt is None or isinstance(prompt, str):
        return [prompt or ""]
    return [prompt] if isinstance(prompt[0], int) else prompt


def _prompt(served: Served, prompt: str | Sequence[int], context: Sequence[int]) -> Prompt:
    tokenizer = served.tokenizer
    if isinstance(prompt, str):
        return Prompt(prompt, tuple(served.prompt_ids(prompt, context)))
    if max(prompt) >= tokenizer.vocabulary_size:
        raise _no_token("prompt", max(prompt), served)
    return Prompt(tokenizer.decode(prompt), tuple(prompt))
