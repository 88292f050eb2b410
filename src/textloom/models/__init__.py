"""Recurrent language models: explicit state in, state out."""
