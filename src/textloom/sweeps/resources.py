"""Cores and GPUs of parallel trials, set through environment variables before torch is imported.

On two cores, two processes of two threads each were 7 to 12 times slower than two of one: the threads wait for each
other.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass

from textloom.config import SweepConfig
from textloom.errors import ConfigError
from textloom.system.cores import available_cores


@dataclass(frozen=True)
class Share:
    """Cores and GPU of one of several parallel trials."""

    threads: int
    gpu: str | None
    """The value of CUDA_VISIBLE_DEVICES; None without GPUs."""

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables, to be set before torch is imported."""
        threads = str(self.threads)
        variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        return variables if self.gpu is None else {**variables, "CUDA_VISIBLE_DEVICES": self.gpu}


def shares(config: SweepConfig, trials: int, accelerator: str) -> list[Share]:
    """A share for each trial that runs at the same time on this machine; ``trials`` is the total number.

    Raises ConfigError if more parallel trials are requested than the GPUs can hold.
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


def available_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, found without torch: initialising CUDA allocates memory on each."""
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
    """The number of threads that the user has set for each process."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else None
