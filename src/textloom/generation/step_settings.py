"""Settings of torch for the steps of a decoder."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from textloom.models.language_model import Decoder

THREADS_PAY = 1 << 21  # multiplications in a step; below it waking threads takes longer than their work


@contextmanager
def suited_to(decoder: Decoder) -> Iterator[None]:
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
