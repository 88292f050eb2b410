"""The number of threads for which equal rows get equal results.

torch divides the elements of a tensor among its threads, and the elements at the end of a share are computed by other
instructions than those before, which may round the last bit differently. Whether a share ends within a row depends on
the sizes of the model and on the number of threads.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from textloom.models.language_model import Decoder

log = logging.getLogger(__name__)

STEPS = 32  # of a trial: the last bit differs for a part of the numbers only


@contextmanager
def rows_computed_alike(decoder: Decoder, rows: int, vocabulary_size: int) -> Iterator[None]:
    """Use all threads, or fewer if rows with equal inputs would get different scores.

    Found by trial, before any text has a row. A warning is logged if one thread does not suffice.
    """
    before = torch.get_num_threads()
    try:
        for threads in range(before, 0, -1):
            torch.set_num_threads(threads)
            if _are_alike(decoder, rows, vocabulary_size):
                break
        else:
            log.warning("rows are rounded differently here: in rare cases a text differs from the one drawn alone")
        yield
    finally:
        torch.set_num_threads(before)


def _are_alike(decoder: Decoder, rows: int, vocabulary_size: int) -> bool:
    generator = torch.Generator().manual_seed(0)
    for row in range(rows):
        decoder.place(row, None)
    for token in torch.randint(vocabulary_size, (STEPS,), generator=generator).to(decoder.device):
        decoder.read(token.repeat(rows))
        scores = decoder.score()
        if not torch.equal(scores, scores[:1].expand_as(scores)):
            return False
    return True
