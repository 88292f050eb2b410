"""From documents to batches: sources, corpus (folding and splitting), encoding, batching."""
