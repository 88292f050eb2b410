"""Requests for generated texts, and their results."""

from dataclasses import dataclass

from textloom.config.generation import BeamKeys
from textloom.errors import ConfigError
from textloom.generation.reading import Reading
from textloom.generation.sampling import NO_RULES, Sampling, TokenRules
from textloom.generation.text import Ending, Limits


@dataclass(frozen=True)
class Opening:
    """The beginning from which a text continues."""

    prompt: str
    """The beginning of the text, as it is written."""
    ids: tuple[int, ...]
    """Its tokens."""
    reading: Reading
    """The model's state after these tokens, and perhaps others before them."""
    begins: bool = False
    """True if a document begins here, so that it has at least one token."""


@dataclass(frozen=True)
class Place:
    """The row of a text among those that are computed side by side.

    Products of another number of rows are rounded differently, so that a text is sure to be the same again only in the
    same place.
    """

    row: int = 0
    rows: int = 1


@dataclass(frozen=True)
class Request:
    """One text to draw."""

    opening: Opening
    sampling: Sampling
    seed: int


@dataclass(frozen=True)
class Generated:
    """A text that was generated."""

    text: str
    """The prompt, and what comes after it."""
    prompt: str
    tokens: list[int]
    """The tokens after the prompt, without the end of the document."""
    logprobs: list[float]
    """Logarithm of the probability that the model gives each of them, before temperature and filters; or empty."""
    seed: int
    ending: Ending
    place: Place = Place()
    score: float | None = None
    """Of a text that a beam search found: its log-probability, divided by a power of its length."""


@dataclass(frozen=True)
class Beams:
    """Settings of beam search."""

    width: int
    """Texts that are followed, those of all groups."""
    groups: int = 1
    """Groups that search one after the other in each step (Vijayakumar et al. 2016, "Diverse beam search",
    arXiv 1610.02424)."""
    diversity_penalty: float = 0.0
    """Subtracted from the log-probability of a token for each text of the groups before that has it in this step."""
    length_penalty: float = 1.0
    """A text is ranked by its log-probability, divided by this power of its number of tokens."""

    @classmethod
    def of(cls, config: BeamKeys, vocabulary_size: int) -> "Beams | None":
        """The search that a config asks for; None for none. Raises ConfigError for more beams than there are tokens."""
        if config.num_beams == 1:
            return None
        if config.num_beams > vocabulary_size:
            raise ConfigError(
                f"num_beams={config.num_beams}: larger than the vocabulary of {vocabulary_size} tokens; lower it"
            )
        return cls(config.num_beams, config.num_beam_groups, config.diversity_penalty, config.length_penalty)


@dataclass(frozen=True)
class Rules:
    """Settings that all texts of one call share."""

    limits: Limits
    tokens: TokenRules = NO_RULES
    window: int | None = None
    """Tokens of the windows that the model was trained on; None if it carries its state."""
    with_logprobs: bool = False
    beams: Beams | None = None
    """Beam search; None to sample."""
