"""Dividing cores and GPUs among parallel trials, through the environment, before any of them imports torch.

Two processes of two threads on two cores were 7 to 12 times slower than two of one: their threads wait for each other.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass

from textloom.config import SweepConfig
from textloom.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """What one of several parallel trials may use."""

    threads: int
    gpu: str | None
    """As CUDA_VISIBLE_DEVICES takes it; None where there are none."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that must be set when torch is imported."""
        threads = str(self.threads)
        variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        return variables if self.gpu is None else {**variables, "CUDA_VISIBLE_DEVICES": self.gpu}


def shares(config: SweepConfig, trials: int, accelerator: str) -> list[Share]:
    """A share for each of the trials that run at a time on this machine.

    ``trials`` is how many there are in all. Raises ConfigError if the GPUs do not hold as many as asked for.
    """
    cores, gpus = available_cores(), available_gpus() if accelerator in ("auto", "gpu", "cuda") else []
    places = len(gpus) * config.trials_per_gpu or max(1, cores // (config.cpus_per_trial or 1))
    parallel = config.parallel or min(places, trials)
    if gpus and parallel > places:
        raise ConfigError(
            f"sweep.parallel={parallel}: {len(gpus)} GPU(s) with sweep.trials_per_gpu={config.trials_per_gpu} hold "
            f"{places} trials at a time; raise sweep.trials_per_gpu"
        )
    threads = min(config.cpus_per_trial or max(1, cores // parallel), _threads_wanted() or cores)
    return [Share(threads, gpus[number % len(gpus)] if gpus else None) for number in range(parallel)]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_gpus() -> list[str]:
    """NVIDIA's GPUs that this process may use, asked for without torch: who initialises CUDA holds memory on each."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    return answer.stdout.split() if answer.returncode == 0 else []


def _threads_wanted() -> int | None:
    """What the user said of each process already."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else None
