"""What a command imports stays until it ends: the garbage collector need not look at it, not even at the end."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
