"""What this process does otherwise while it trains on a CPU: with tiny numbers, and with memory it is done with."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

OMP_PAUSE_HARD = 2  # of OpenMP's omp.h
# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
LARGEST_MMAP_THRESHOLD = 32 << 20


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Within it this process takes numbers under 1e-38 for zero.

    Gradients that fade on their way back through a window are such numbers, and a CPU takes a hundred times as long
    for each: backward passes over windows of 50 tokens took 290 ms, and 45 ms with them flushed (LSTM 128, 2 cores).
    """
    before = float(torch.tensor(1e-40) * 1) == 0.0  # torch itself cannot tell
    _flush(True)
    try:
        yield
    finally:
        _flush(before)


def _flush(on: bool) -> None:
    """In this thread and those that OpenMP has for it: torch sets this one alone, new ones have it from there."""
    torch.set_flush_denormal(on)
    end_threads = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)
    if end_threads is not None:
        threads = torch.get_num_threads()
        end_threads(OMP_PAUSE_HARD)  # the next parallel work starts new ones
        if torch.get_num_threads() != threads:  # OpenMP may forget how many
            torch.set_num_threads(threads)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within it freed memory stays with this process, for the next step to take.

    glibc gives blocks over 32 MB back to the kernel as they are freed, and asks for them again, 4 kB at a time as they
    are written: 16,000 page faults a step, a quarter of its time (LSTM 128, 256 windows of 50 tokens, on 2 cores; as
    much for LSTM 512, 64 x 64). It costs memory: freed blocks leave holes, which make its peak up to a half higher.
    Other C libraries are left as they are.
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
        # what glibc's own limits grow to once a large block was freed
        set_option(M_MMAP_MAX, 65536)
        set_option(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        set_option(M_TRIM_THRESHOLD, 2 * LARGEST_MMAP_THRESHOLD)
        ctypes.CDLL(None).malloc_trim(0)
