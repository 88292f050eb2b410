"""Restore the settings of the whole process at the end of a call from Python."""

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


@contextmanager
def caller_unchanged() -> Iterator[None]:
    """Restore environment, working directory, signals, warning filters, loggers and ``random`` when the block ends.

    Large libraries should be imported within it, because imports change such settings too.
    """
    with ExitStack() as stack:
        for kept in (_environment, _directory, _signals, _warnings, _loggers, _random_state):
            stack.enter_context(kept())
        yield


@contextmanager
def libraries_unchanged() -> Iterator[None]:
    """Restore settings of numpy and torch: random states, threads, number formats, determinism and modes.

    Only for libraries that are imported already.
    """
    with _random_states(), _torch_settings():
        yield


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@contextmanager
def _directory() -> Iterator[None]:
    before = os.getcwd()
    try:
        yield
    finally:
        with suppress(OSError):  # it was removed meanwhile
            os.chdir(before)


@contextmanager
def _signals() -> Iterator[None]:
    """Only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


@contextmanager
def _warnings() -> Iterator[None]:
    captured = _are_captured()
    with warnings.catch_warnings():
        try:
            yield
        finally:
            if _are_captured() != captured:
                logging.captureWarnings(captured)


def _are_captured() -> bool:
    """True if logging captures warnings; there is no public function for it."""
    return logging._warnings_showwarning is not None  # type: ignore[attr-defined]


@contextmanager
def _loggers() -> Iterator[None]:
    """Levels, handlers and switches of the loggers that exist already."""
    manager = logging.root.manager
    loggers = [logging.root, *(one for one in manager.loggerDict.values() if isinstance(one, logging.Logger))]
    before = [(one, one.level, [*one.handlers], one.propagate, one.disabled) for one in loggers]
    disabled = manager.disable
    try:
        yield
    finally:
        logging.disable(disabled)
        for one, level, handlers, propagate, off in before:
            one.setLevel(level)
            one.handlers[:] = handlers
            one.propagate, one.disabled = propagate, off


@contextmanager
def _random_state() -> Iterator[None]:
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def _random_states() -> Iterator[None]:
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    numbers = None if numpy is None else numpy.random.get_state()
    tensors = None if torch is None else torch.get_rng_state()
    cards = torch.cuda.get_rng_state_all() if torch is not None and torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        if numpy is not None:
            numpy.random.set_state(numbers)
        if torch is not None:
            torch.set_rng_state(tensors)
            for device, state in enumerate(cards):
                torch.cuda.set_rng_state(state, device)


@contextmanager
def _torch_settings() -> Iterator[None]:
    if "torch" not in sys.modules:
        yield
        return
    import torch  # only in a process that has imported it already

    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    dtype, threads, precision = torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    flags = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    anomalies = torch.is_anomaly_enabled()
    try:
        with torch.inference_mode(torch.is_inference_mode_enabled()), torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = flags
        torch.autograd.set_detect_anomaly(anomalies)
