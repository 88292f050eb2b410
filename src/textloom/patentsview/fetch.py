"""From the portal to one Parquet file of the patents asked for."""

from textloom.config.patents import PatentSelection
from textloom.errors import DataError


def fetch(selection: PatentSelection) -> str:
    """Fetch what is new, select from it, and say what there is. Raises DataError where that cannot be done."""
    raise DataError(f"data.source={selection.source}: cannot be fetched yet")
