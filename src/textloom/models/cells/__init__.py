"""Recurrent cells, one file each: a module that is registered in ``textloom.config.CELLS`` with its config class."""

from textloom.models.cells.base import Cell, FastLayer, build_cell
from textloom.models.cells.stacked import Stacked, stacked

__all__ = ["Cell", "FastLayer", "Stacked", "build_cell", "stacked"]
