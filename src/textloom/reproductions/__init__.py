"""The article's data and tokenizer as published, labelled leaky."""
