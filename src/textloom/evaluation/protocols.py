"""Evaluation protocols: they define how much text a model has read before each target.

The same weights have different losses under different protocols, so every figure is given with its protocol. This
file does not import torch, so that runs are compared without its start-up time.
"""

from dataclasses import dataclass
from typing import Literal

from textloom.config import BatchingConfig, EvaluateConfig, StreamConfig, TrainConfig, WindowsConfig
from textloom.errors import ConfigError

ProtocolKind = Literal["stream", "windows", "sliding", "documents"]


@dataclass(frozen=True)
class Protocol:
    """A way to cut a text into the rows that a model reads; each row begins from the initial state.

    Every protocol predicts every token once.
    """

    kind: ProtocolKind
    """stream: equal pieces of the whole text; windows: pieces of ``size`` tokens; sliding: for each target the
    ``size`` tokens before it in its document, read afresh; documents: each document."""
    size: int = 1
    """Rows of a stream, or tokens of a window; not used for documents."""

    def __str__(self) -> str:
        """The protocol in signatures: stream, streams(10), windows(256), sliding(50), documents."""
        if self.kind == "documents" or (self.kind == "stream" and self.size == 1):
            return self.kind
        return f"{'streams' if self.kind == 'stream' else self.kind}({self.size})"


def training_protocol(batching: BatchingConfig, leaky: bool = False) -> Protocol:
    """The protocol that training validates with; ``leaky`` is true if the targets are dealt out in windows."""
    if isinstance(batching, StreamConfig):
        return Protocol("stream", batching.evaluation_rows)
    if isinstance(batching, WindowsConfig):
        return Protocol("sliding" if batching.targets == "last" or leaky else "windows", batching.context)
    return Protocol("documents")


def own_protocol(config: TrainConfig) -> Protocol:
    """The protocol of a run's results; the contexts of n-grams lie within a document."""
    return Protocol("documents") if config.model.is_ngram else training_protocol(config.batching, config.data.leaky)


def chosen_protocol(config: EvaluateConfig, trained: TrainConfig) -> Protocol:
    """The protocol that a config asks for.

    Raises ConfigError if the model, or the text of the run, cannot be scored by it.
    """
    if config.protocol == "training":
        return own_protocol(trained)
    if trained.data.leaky:
        raise ConfigError(
            f"protocol={config.protocol}: the run's targets are dealt out in windows of a leaky protocol of the data; "
            "leave protocol out, or train on another split"
        )
    if trained.model.is_ngram:
        if config.protocol in ("stream", "documents"):
            return Protocol("documents")
        raise ConfigError(
            f"protocol={config.protocol}: n-grams have no state that a row could begin with, their contexts begin with "
            "the document; leave protocol out, or set protocol=documents"
        )
    if config.protocol == "streams":
        return Protocol("stream", config.streams)
    return Protocol(config.protocol, config.window if config.protocol in ("windows", "sliding") else 1)
