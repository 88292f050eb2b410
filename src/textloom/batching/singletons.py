"""Replaces rare training words by ``<unk>`` in some epochs, so that a model learns where unknown words occur.

If every word of the training split has an entry in the vocabulary, ``<unk>`` does not occur in training, and a model
gives it almost no probability in other texts. Words that occur once are most similar to unknown words: each is replaced
by ``<unk>`` with a given probability, drawn again in every epoch (Dyer et al. 2015, "Transition-based dependency
parsing with stack long short-term memory", arXiv 1505.08075).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from textloom.batching.batch import Batch
from textloom.data.encoding import TokenSplit
from textloom.errors import ConfigError
from textloom.tokenizers import Tokenizer

STREAM = 1505_08075  # of random numbers, different from the one that shuffles


class SingletonDropout:
    """Replaces some of the tokens that occur once in the training split, chosen by seed and epoch."""

    def __init__(self, probability: float, split: TokenSplit, tokenizer: Tokenizer, seed: int):
        """Raises ConfigError if the tokenizer has no ``<unk>``."""
        if tokenizer.unknown_id is None:
            raise ConfigError(
                f"batching.singleton_dropout={probability:g}: tokenizer={tokenizer.kind} has no <unk>, because no text "
                "is unknown to it; leave it out"
            )
        self.probability, self.seed = probability, seed
        self.unknown_id, self.vocabulary_size = tokenizer.unknown_id, tokenizer.vocabulary_size
        once = np.flatnonzero(split.frequencies(tokenizer.vocabulary_size) == 1)
        self.singletons = np.setdiff1d(once, [tokenizer.unknown_id, tokenizer.end_id])
        """(singletons,) their ids."""

    def replacements(self, epoch: int) -> np.ndarray:
        """The replacement of each token in an epoch, (vocabulary,) int64."""
        table = np.arange(self.vocabulary_size)
        drawn = np.random.default_rng((self.seed, epoch, STREAM)).random(len(self.singletons))
        table[self.singletons[drawn < self.probability]] = self.unknown_id
        return table

    def apply(self, batches: Iterable[Batch], epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, with ``<unk>`` in place of some of the tokens, as inputs and as targets."""
        table = torch.from_numpy(self.replacements(epoch))
        for batch in batches:
            table = table.to(batch.inputs.device)
            yield batch._replace(inputs=table[batch.inputs], targets=table[batch.targets])
