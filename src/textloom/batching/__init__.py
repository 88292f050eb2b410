"""Batches of tokens: windows, documents or a stream, gathered on the host or the device."""
