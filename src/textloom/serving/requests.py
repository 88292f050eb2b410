"""The bodies of requests."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_TEXTS = 128
"""Texts that one request may ask for."""
MOST_STOPS = 16
MOST_ECHOED = 16384
"""Tokens of prompts that an answer has with their log-probabilities, which take up to 2 kB each."""
MOST_LOGPROBS = 20
LONGEST_STOP = 256
"""Characters: each end of a text that may be the beginning of a stop text is looked at."""

StopText = Annotated[str, Field(max_length=LONGEST_STOP)]
TokenId = Annotated[str, Field(pattern=r"^\d{1,9}$")]
"""The id of a token as a key of a JSON object."""
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class Request(BaseModel):
    """A body without unknown keys, and without silent conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    model: str


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False


class CompletionRequest(Request):
    """``POST /v1/completions``: the parameters of OpenAI's, and ``top_k``, ``min_p``, ``typical_p``,
    ``repetition_penalty``, ``return_token_ids``, ``store`` and ``state_id``."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1)]
        | None
    ) = None
    """A text, several texts, or the same as token ids; None for a new document, or to continue from a state."""
    max_tokens: Annotated[int, Field(ge=0)] = 16
    """Most tokens of each text; 0 only reads the prompt."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(gt=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    logit_bias: dict[TokenId, Annotated[float, Field(ge=-100, le=100)]] = Field(default_factory=dict)
    """Numbers to add to the logits of tokens, which are named by their ids."""
    n: Annotated[int, Field(ge=1, le=MOST_TEXTS)] = 1
    best_of: Annotated[int, Field(ge=1, le=MOST_TEXTS)] | None = None
    """Texts that are drawn of each prompt, of which the ``n`` with the highest mean log-probability are returned."""
    stop: StopText | Annotated[list[StopText], Field(max_length=MOST_STOPS)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    """Log-probabilities of the tokens, and of so many of the likeliest at each place."""
    return_token_ids: bool = False
    """With ``logprobs``: list the tokens with their ids, too."""
    echo: bool = False
    """Begin each text with its prompt."""
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    store: bool = False
    """Keep the state after each text, and return its ``state_id``."""
    state_id: str | None = None
    """Continue from a stored state."""
    suffix: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, body: Any) -> Any:
        return {key: value for key, value in body.items() if value is not None} if isinstance(body, dict) else body

    @model_validator(mode="after")
    def _is_supported(self) -> Self:
        if self.suffix:
            raise ValueError("suffix: is not supported; leave it out")
        if self.drawn < self.n:
            raise ValueError(f"best_of: {self.best_of} texts, of which {self.n} are wanted; give at least n")
        if self.drawn > self.n and (self.stream or self.store):
            raise ValueError("best_of: the best texts are known at the end; leave out stream and store")
        if "" in self.stops:
            raise ValueError("stop: an empty text is everywhere; give at least one character")
        return self

    @property
    def drawn(self) -> int:
        """Texts to draw of each prompt."""
        return self.n if self.best_of is None else self.best_of

    @property
    def asks_what_is_next(self) -> bool:
        """True if the likeliest tokens after the prompt are wanted, and none are drawn."""
        return self.return_token_ids and self.max_tokens == 0

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end a text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ScoreRequest(Request):
    """``POST /v1/score``: the likelihood of a text under a model."""

    input: Annotated[str, Field(min_length=1)]
    """A document from its beginning, or its continuation after a state."""
    state_id: str | None = None
    ends: bool = False
    """Score the end of the document too."""
