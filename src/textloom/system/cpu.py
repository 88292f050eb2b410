"""Settings of this process for training on a CPU: denormal numbers, and freed memory."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

OMP_PAUSE_HARD = 2  # of OpenMP's omp.h
# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
LARGEST_MMAP_THRESHOLD = 32 << 20
LARGEST_INT = 0x7FFF_FFFF
DEFAULTS = {
    M_MMAP_MAX: ("MALLOC_MMAP_MAX_", "glibc.malloc.mmap_max", 65536),
    M_MMAP_THRESHOLD: ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", LARGEST_MMAP_THRESHOLD),
    M_TRIM_THRESHOLD: ("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", 2 * LARGEST_MMAP_THRESHOLD),
}
"""Options of glibc's malloc: how the environment sets each, and its value otherwise. glibc raises the two thresholds
up to these values by itself, as soon as blocks of that size are freed."""


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush numbers below 1e-38 to zero in this process.

    Gradients that vanish on their way back through a window are such denormal numbers, and a CPU takes a hundred times
    as long for each: backward passes over windows of 50 tokens took 290 ms, and 45 ms when flushed (LSTM 128, 2 cores).
    """
    before = float(torch.tensor(1e-40) * 1) == 0.0  # torch has no function to read the setting
    if before:
        yield
        return
    _flush(True)
    try:
        yield
    finally:
        _flush(False)


def _flush(on: bool) -> None:
    """Flush or keep denormals in this thread and in OpenMP's: torch sets this one alone, and new threads inherit it."""
    torch.set_flush_denormal(on)
    end_threads = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)
    if end_threads is not None:
        threads = torch.get_num_threads()
        end_threads(OMP_PAUSE_HARD)  # the next parallel region starts new ones
        if torch.get_num_threads() != threads:  # OpenMP may forget their number
            torch.set_num_threads(threads)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory in this process, for the next step.

    glibc returns blocks of over 32 MB to the kernel as soon as they are freed, and gets them back 4 kB at a time as
    they are written: 16,000 page faults a step, a quarter of its time (LSTM 128, 256 windows of 50 tokens, on 2
    cores; as much for LSTM 512, 64 x 64). The cost is memory: freed blocks leave holes, which raise the peak by up to
    a half.
    Other C libraries are left as they are.

    The options of glibc cannot be read, so at the end each is set to its value in the environment, or its default.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        yield
        return
    set_option(M_MMAP_MAX, 0)
    set_option(M_TRIM_THRESHOLD, -1)  # never
    try:
        yield
    finally:
        for option, (variable, tunable, default) in DEFAULTS.items():
            set_option(option, _from_environment(variable, tunable, default))
        ctypes.CDLL(None).malloc_trim(0)


def _from_environment(variable: str, tunable: str, default: int) -> int:
    """The value of an option of malloc: a tunable, which glibc prefers, a variable, or the default."""
    tunables = dict(setting.partition("=")[::2] for setting in os.environ.get("GLIBC_TUNABLES", "").split(":"))
    for text in (tunables.get(tunable), os.environ.get(variable)):
        try:
            number = int(text or "", 0)
        except ValueError:
            continue
        return number if number <= LARGEST_INT else -1  # mallopt takes an int; -1 stands for the largest size
    return default
