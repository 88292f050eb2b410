"""Inspection of a trained model on a text: surprise, units, gates, embeddings, gradients, and a page of them."""
