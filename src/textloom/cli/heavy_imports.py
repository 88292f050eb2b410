"""Imports of large libraries: without garbage collection meanwhile, and without TensorFlow."""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Within it nothing is collected; what was made until its end never is.

    torch and Lightning make a million objects: to look through them while they are made, and once more as the process
    ends, took 1.6 of 4.8 seconds. A process that has torch already is left as it is: it may have made more than that.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def without_tensorflow() -> None:
    """Keep TensorBoard from importing an installed TensorFlow, which costs 4 s and 500 MB and is not needed here.

    Call it before TensorBoard is imported. TensorBoard reads ``tensorboard.compat.notf``, which its own builds without
    TensorFlow contain, as a request for its own reading and writing of files.
    """
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    logging.getLogger("datasets").setLevel(logging.WARNING)  # it reports which frameworks are installed
