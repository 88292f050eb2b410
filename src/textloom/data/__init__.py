"""From documents to tokens: sources, normalization, duplicates, splits, the token store and its cache."""
