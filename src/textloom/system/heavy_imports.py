"""Faster imports of large libraries, for processes of the command line, and TensorBoard without TensorFlow."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import large libraries faster: without garbage collection, and without parts that textloom does not use.

    For processes that textloom has for itself: objects that exist at the end are never collected. torch and Lightning
    create a million of them; traversing them during the imports and again at exit took 1.6 of 4.8 seconds. A process
    that has torch already keeps its garbage collector as it is.
    """
    with _without_scipy_signal():
        if "torch" in sys.modules:
            yield
            return
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            gc.enable()


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Import TensorBoard without TensorFlow, which costs 4 s and 500 MB where it is installed.

    TensorBoard looks for ``tensorboard.compat.notf`` once, when it first needs a file system, and then uses its own
    replacement. A process that has TensorFlow already is left as it is.
    """
    name = "tensorboard.compat.notf"
    if name in sys.modules or "tensorflow" in sys.modules:
        yield
        return
    with _stand_in(name):
        yield
        from tensorboard.compat import tf

        tf.__version__  # noqa: B018  # TensorBoard chooses now


@contextmanager
def _without_scipy_signal() -> Iterator[None]:
    """Import Lightning without ``scipy.signal``: torchmetrics imports it for audio, up to a second of every start."""
    if {"scipy.signal", "pytorch_lightning"} & sys.modules.keys():
        yield
        return
    with _stand_in("scipy.signal", hamming=None):  # the only name that torchmetrics looks for
        yield


@contextmanager
def _stand_in(name: str, **attributes: object) -> Iterator[None]:
    """Put a module with these attributes in the place of another, and take it away at the end."""
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    try:
        yield
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]
