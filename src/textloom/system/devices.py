"""The choice of the device to compute on."""

import os

import torch

from textloom.errors import ConfigError

CPU_ALLOCATOR = "DefaultCPUAllocator"  # in torch's message when main memory is short
PROCESSES_FOR_A_CORE = 4  # at most; more than one are of use in tests alone


def choose_device(accelerator: str, key: str = "trainer.accelerator") -> torch.device:
    """The device that the value of a key names. Raises ConfigError if this machine does not have it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    wanted = {"auto": ("cuda", "mps", "cpu"), "gpu": ("cuda", "mps")}.get(accelerator, (accelerator,))
    for name in wanted:
        if available[name]:
            return torch.device(name)
    raise ConfigError(f"{key}={accelerator}: this machine has none; set {key}=auto")


def check_devices(devices: int, device: torch.device) -> None:
    """Check the number of devices. Raises ConfigError if this machine has fewer, or far fewer cores than processes."""
    if device.type == "cpu":
        cores = os.cpu_count() or 1
        there, kind, limit = cores, "CPU core(s)", PROCESSES_FOR_A_CORE * cores
    else:
        limit = there = torch.cuda.device_count() if device.type == "cuda" else 1
        kind = "GPU(s)"
    if devices > limit:
        raise ConfigError(f"trainer.devices={devices}: this machine has {there} {kind}; set trainer.devices={there}")


def is_out_of_memory(error: Exception) -> bool:
    """True if a GPU or the machine is out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or CPU_ALLOCATOR in str(error)
