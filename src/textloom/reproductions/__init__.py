"""Reproductions of published work with flaws: the article's protocol and tokenizer, labelled leaky."""
