"""The folders of configs that plugins of textloom bring."""
