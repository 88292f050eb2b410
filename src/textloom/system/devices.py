"""The choice of the device to compute on."""

import torch

from textloom.errors import ConfigError
from textloom.system.cores import available_cores

CPU_ALLOCATOR = "DefaultCPUAllocator"  # in torch's message when main memory is short
PROCESSES_PER_CORE = 4  # largest number; more than one are slower, but serve to try out a training on several devices


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
        present, kind = available_cores(), "CPU core(s)"
        limit = PROCESSES_PER_CORE * present
    else:
        present, kind = torch.cuda.device_count() if device.type == "cuda" else 1, "GPU(s)"
        limit = present
    if devices > limit:
        raise ConfigError(
            f"trainer.devices={devices}: this machine has {present} {kind}; set trainer.devices={present}"
        )


def is_out_of_memory(error: Exception) -> bool:
    """True if a GPU or the machine is out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or CPU_ALLOCATOR in str(error)
