"""The protocol of "Recurrent Neural Networks by Example in Python" (Koehrsen 2018), reproduced as published.

It is leaky: windows are cut first and then dealt out at random, so that each document is in both splits and nearly
every validation target occurs in some training window; duplicates are kept, and the vocabulary is that of all
documents. Its figures are comparable only with those of the article.
"""

import numpy as np

LEAKY = "the article's protocol, leaky: validation windows overlap training documents"
SHORTEST_BEYOND = 20  # a document must have more tokens than the window plus this number
SEED = 50
TRAINING_SHARE = 0.7


def deal_windows(boundaries: np.ndarray, window: int) -> dict[str, np.ndarray]:
    """The positions of the targets of the training and of the validation windows, (windows,) int64, rising.

    ``boundaries``: (documents + 1,), with an end token after each document.
    """
    lengths = np.diff(boundaries) - 1
    kept = np.flatnonzero(lengths > window + SHORTEST_BEYOND)
    targets = np.concatenate(
        [np.arange(boundaries[k] + 1 + window, boundaries[k + 1], dtype=np.int64) for k in kept]
        or [np.zeros(0, dtype=np.int64)]
    )
    order = np.arange(len(targets))
    np.random.RandomState(SEED).shuffle(order)  # as sklearn.utils.shuffle does
    border = int(TRAINING_SHARE * len(targets))
    return {"train": np.sort(targets[order[:border]]), "val": np.sort(targets[order[border:]])}
