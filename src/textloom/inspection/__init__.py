"""What a trained model does with a text: surprise, units, gates, embeddings, gradients; and a page that shows them."""
