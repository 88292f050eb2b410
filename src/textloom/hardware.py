"""Which device to compute on and in which number format: picked by themselves, and said in the log."""

import torch

from textloom.errors import ConfigError


def choose_device(accelerator: str, key: str = "trainer.accelerator") -> torch.device:
    """The device that a config's key names. Raises ConfigError where this machine does not have it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    wanted = {"auto": ("cuda", "mps", "cpu"), "gpu": ("cuda", "mps")}.get(accelerator, (accelerator,))
    for name in wanted:
        if available[name]:
            return torch.device(name)
    raise ConfigError(f"{key}={accelerator}: this machine has none; set {key}=auto")


def check_devices(devices: int, device: torch.device) -> None:
    """Raises ConfigError where this machine has fewer devices of that kind."""
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, devices)  # a CPU takes any number
    if devices > there:
        raise ConfigError(f"trainer.devices={devices}: this machine has {there} GPU(s); set trainer.devices={there}")


def choose_precision(precision: str, device: torch.device) -> tuple[str, str]:
    """Lightning's name for the number format of training, and why it was chosen."""
    if precision == "16-mixed" and device.type == "cpu":
        raise ConfigError("trainer.precision=16-mixed: a CPU does not train in it; set trainer.precision=auto")
    if precision != "auto":
        return precision, "as configured"
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed", "the GPU multiplies bf16"
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return "bf16-mixed", "the CPU multiplies bf16: 1.5 to 2.4 times faster"
    return "32-true", "no bf16 in this hardware"


def _cpu_multiplies_bf16() -> bool:
    """Whether the processor has bf16 instructions; older torch versions cannot tell, then it is taken to have none."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
