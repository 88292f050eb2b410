"""Configs of the commands serve and play."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from textloom.config.section import Mark, NonNegative, PathText, Positive, Section, Unit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def as_runs(value: Any) -> Any:
    """One run, several with commas between them, a list, or a mapping from names to runs."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    return tuple(value) if isinstance(value, list) else value


Runs = Annotated[dict[str, str] | tuple[str, ...], BeforeValidator(as_runs), Field(min_length=1), Mark.PATH, Mark.LIST]


class ServeConfig(Section):
    """The runs to serve over HTTP, the address, and the limits."""

    run: Runs
    """A run directory, an export, 'latest' or 'best'; several as A,B or, with names for requests, {small: A, large: B}.
    Without a name a run has that of its config."""
    outputs: PathText
    """Folder in which latest and best are searched."""
    checkpoint: Literal["best", "last"]
    """Checkpoint of the runs."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    """Device to compute on; auto takes a GPU if there is one."""
    host: Annotated[str, Field(min_length=1)]
    """Address to listen on. Any other than this machine's own, 127.0.0.1, needs the variable TEXTLOOM_API_KEY."""
    port: Annotated[NonNegative, Field(lt=65536)]
    """Port to listen on; 0 for any that is free."""
    rows: Annotated[Positive, Unit("texts")]
    """Texts that are drawn side by side in a step; each step computes so many, however few there are."""
    queue: Annotated[NonNegative, Unit("texts")]
    """Texts that may wait for a row; further requests get the status 429."""
    max_tokens: Annotated[Positive, Unit("tokens")]
    """Most tokens that a text may ask for."""
    max_prompt_tokens: Annotated[Positive, Unit("tokens")]
    """Most tokens in a prompt or a text to score."""
    max_body: Annotated[Positive, Unit("bytes")]
    """Largest body of a request."""
    max_seconds: Annotated[float, Field(gt=0), Unit("seconds")]
    """Longest time for a request, waiting included."""
    states: PathText | None
    """Folder of the stored states; null for the folder states in the cache (TEXTLOOM_CACHE)."""
    states_megabytes: Annotated[float, Field(gt=0), Unit("MB")]
    """Space for stored states; those that were not used for longest are removed."""
    states_hours: Annotated[float, Field(gt=0), Unit("hours")]
    """A stored state that was not used for so long is removed."""

    states_folder: ClassVar[str] = "states"
    """Name of the folder in the cache."""

    @property
    def is_local(self) -> bool:
        """True if only programs on this machine can connect."""
        return self.host in LOOPBACK

    @model_validator(mode="after")
    def _names_are_plain(self) -> Self:
        for name in self.run if isinstance(self.run, dict) else ():
            if not name or "/" in name:
                raise ValueError(f"run: {name!r} is not a name for a model; leave out the slash")
        return self


class PlayConfig(ServeConfig):
    """The runs to play with in the browser, the address, and the limits."""

    states: PathText | None
    """Folder of the bookmarks; null for the folder bookmarks in the cache (TEXTLOOM_CACHE)."""
    states_folder: ClassVar[str] = "bookmarks"
    browser: bool
    """Open the page in a browser; its address is printed in any case."""
