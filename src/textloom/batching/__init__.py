"""Batches of tokens: the order in which a split is read (``batches``), and one batch of it (``batch``)."""
