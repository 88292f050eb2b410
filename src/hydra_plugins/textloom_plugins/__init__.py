"""Adds the config folders of textloom's plugins to Hydra's search path."""
