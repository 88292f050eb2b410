"""textloom trains recurrent language models from composed configs, generates text with them, and compares them."""
