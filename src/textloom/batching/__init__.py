"""Batches of tokens: the order in which a split is read (windows, documents or a stream), and one batch of it."""
