"""Denormal numbers and freed memory while a process trains on a CPU, and the settings of the caller afterwards."""

import ctypes
import resource
import sys

import pytest
import torch

from textloom.system.cpu import denormals_flushed, memory_kept

MEBIBYTES = 48  # glibc maps blocks over 32 anew each time
PAGES = (MEBIBYTES << 20) // resource.getpagesize()


def test_numbers_too_small_to_matter_are_zero_within_and_not_after() -> None:
    tiny = torch.tensor(1e-40)
    assert tiny * 1 > 0
    with denormals_flushed():
        assert tiny * 1 == 0
        with denormals_flushed():
            pass
        assert tiny * 1 == 0
    assert tiny * 1 > 0


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "omp_pause_resource_all"), reason="an OpenMP before 5.0")
def test_they_are_in_threads_that_were_there_before_too() -> None:
    torch.set_num_threads(2)
    tiny = torch.full((1 << 20,), 1e-40)
    assert (tiny * 1 > 0).all()  # by both threads
    with denormals_flushed():
        assert torch.get_num_threads() == 2
        assert not (tiny * 1).view(torch.int32).any()
    assert (tiny * 1 > 0).all()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_was_freed_is_taken_again_without_a_page_fault_within_and_given_back_after() -> None:
    if faults_of_a_block() < PAGES / 2:
        pytest.skip("pages are huge here, or not counted")
    with memory_kept():
        # glibc before 2.38 takes a few blocks before it finds the first again
        assert min(faults_of_a_block() for _ in range(20)) < PAGES / 100
        kept = resident_pages()
    assert resident_pages() < kept - PAGES / 2
    assert faults_of_a_block() > PAGES / 2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_options_that_the_environment_gives_malloc_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    if faults_of_a_block() < PAGES / 2:
        pytest.skip("pages are huge here, or not counted")
    with monkeypatch.context() as environment:
        environment.setenv("MALLOC_MMAP_MAX_", "0")
        environment.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0:glibc.malloc.trim_threshold=0x100000000")
        with memory_kept():
            pass
    assert min(faults_of_a_block() for _ in range(20)) < PAGES / 100
    with memory_kept():
        pass
    assert faults_of_a_block() > PAGES / 2


def test_denormals_that_the_caller_flushes_stay_flushed() -> None:
    tiny = torch.tensor(1e-40)
    torch.set_flush_denormal(True)
    try:
        with denormals_flushed():
            assert tiny * 1 == 0
        assert tiny * 1 == 0
    finally:
        torch.set_flush_denormal(False)


def faults_of_a_block() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(MEBIBYTES << 18)  # float32
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_pages() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
