"""Faster imports of large libraries, for processes of the command line, and TensorBoard without TensorFlow."""

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import large libraries faster: without garbage collection, and without parts that textloom does not use.

    For processes that textloom has for itself: objects that exist at the end are never collected. torch and Lightning
    create a million of them; traversing them during the imports and again at exit took 1.6 of 4.8 seconds. A process
    that has torch already keeps its garbage collector as it is. Raises KeyboardInterrupt after Ctrl-C.
    """
    with _interruptible(), _without_scipy_signal():
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
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end if Ctrl-C came meanwhile.

    Extension modules, such as torch's, drop a KeyboardInterrupt from a module that they import, or raise another error.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


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
