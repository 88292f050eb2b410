"""Splitting of text: words and grapheme clusters, pre-tokens of subword models, and encoding chunk by chunk."""
