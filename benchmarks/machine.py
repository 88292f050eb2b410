"""What the figures were measured on: the machine, its ceilings, the versions and the commit."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.fit import composed
from benchmarks.rows import seconds
from textloom.training.precision import choose_precision

PACKAGES = ("torch", "pytorch-lightning", "numpy", "tokenizers", "keras", "tensorflow-cpu", "onnxruntime")
ROOT = Path(__file__).parents[1]


def machine() -> dict[str, str]:
    """Processor, cores, threads, memory, GPU and number format."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = {
        "processor": f"{_processor()}, {os.cpu_count()} cores, {_instructions()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "threads": str(torch.get_num_threads()),
        "GPU": torch.cuda.get_device_name() if device.type == "cuda" else "none",
        "precision": f"{choose_precision(composed('model.units=256'), device, 65)[0]} for an LSTM with 256 units",
        "python": platform.python_version(),
    }
    return facts | {name: found for name in PACKAGES if (found := _version(name))}


def commit() -> str:
    """The short hash, with a star where files differ from it."""
    hash_, changed = (
        subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    )
    return (hash_ or "unknown") + ("*" if changed else "")


def ceilings(quick: bool = False, devices: Iterable[str] = ("cpu", "cuda")) -> dict[str, str]:
    """Copy bandwidth and the peak of matrix products, float32 and bf16, on each of the devices that is there."""
    found = {}
    for device in devices:
        if device == "cuda" and not torch.cuda.is_available():
            continue
        found[f"{device} copy"] = f"{copy_bandwidth(device, quick) / 1e9:,.1f} GB/s"
        for dtype in (torch.float32, torch.bfloat16):
            peak = product_peak(device, dtype, quick)
            found[f"{device} {str(dtype).removeprefix('torch.')} product"] = f"{peak / 1e9:,.0f} GFLOP/s"
    return found


def copy_bandwidth(device: str, quick: bool = False) -> float:
    """Bytes read and written a second, of a tensor that no cache holds."""
    numbers = 1 << (20 if quick else 28)
    source, target = (torch.ones(numbers, device=device) for _ in range(2))
    return 2 * 4 * numbers / _median_seconds(lambda: target.copy_(source), device)


def product_peak(device: str, dtype: torch.dtype, quick: bool = False) -> float:
    """Floating point operations a second of square matrix products: the best of some sizes."""
    sizes = (256,) if quick else (1024, 2048, 4096) if device == "cpu" else (4096, 8192)
    return max(product_rate(size, device, dtype) for size in sizes)


def product_rate(size: int, device: str, dtype: torch.dtype) -> float:
    """Floating point operations a second of one product of square matrices."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _median_seconds(lambda: a @ b, device)


def _median_seconds(work: object, device: str) -> float:
    def finished() -> None:
        work()  # type: ignore[operator]
        if device == "cuda":
            torch.cuda.synchronize()

    return statistics.median([seconds(finished) for _ in range(8)][1:])


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = re.search(r"model name\s*: (.*)", text)
    model = re.search(r"^model\s*: (\d+)", text, re.MULTILINE)
    return (named[1] + (f" model {model[1]}" if model else "")) if named else platform.processor()


def _instructions() -> str:
    if not hasattr(torch.cpu, "get_capabilities"):
        return torch.backends.cpu.get_cpu_capability()
    able = torch.cpu.get_capabilities()
    named = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "sve") if able.get(name)]
    return ", ".join(named) or str(able.get("architecture", ""))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
