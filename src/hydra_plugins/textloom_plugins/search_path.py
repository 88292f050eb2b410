"""Configs of plugins: Hydra finds the YAML files in the folder ``conf`` beside a plugin's module."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from textloom.plugins import config_directories


class PluginConfigs(SearchPathPlugin):
    """Appends the folders, so that a plugin adds configs and replaces none."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever it composes a config."""
        for directory in config_directories():
            search_path.append("textloom-plugins", f"file://{directory}")
