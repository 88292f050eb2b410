"""Reproductions of published work that is not sound: the article's protocol and tokenizer, labelled leaky."""
