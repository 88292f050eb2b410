"""Slurm, through submitit: ``hydra/launcher=submitit_slurm hydra.launcher.partition=NAME``, keys as in
hydra-submitit-launcher; ``submitit_local`` is the same without a cluster.

The launcher of that package returns all results at the end, and loses them if one job dies; here each trial is a job of
its own.
"""

import os
import time
from dataclasses import dataclass
from typing import Any

import submitit
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from omegaconf import DictConfig, OmegaConf

from textloom.config import SweepConfig
from textloom.errors import ConfigError
from textloom.sweeps.execute import GRACE, execute_in_child
from textloom.sweeps.job import Job
from textloom.sweeps.launchers import JobEnd
from textloom.system.cores import available_cores

POLL = 0.5  # seconds
LOST = ("NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "TIMEOUT", "REQUEUED")  # states of jobs that can be resumed elsewhere


@dataclass(frozen=True)
class OnANode:
    """The function of a Slurm job. It sets the number of threads on the node, before torch is imported."""

    threads: int

    def __call__(self, job: Job) -> None:
        """Train the trial."""
        os.environ.update(OMP_NUM_THREADS=str(self.threads), MKL_NUM_THREADS=str(self.threads))
        execute_in_child(job)

    def checkpoint(self, job: Job) -> submitit.helpers.DelayedSubmission:
        """Called by submitit before the time limit: queue the job again, to resume from the last checkpoint."""
        return submitit.helpers.DelayedSubmission(self, job)


class SlurmLauncher:
    """A Slurm job for each trial."""

    prints_here = False

    def __init__(self, config: SweepConfig, keys: DictConfig, trials: int):
        given: dict[str, Any] = OmegaConf.to_container(keys, resolve=True)  # type: ignore[assignment]
        is_local = str(given.pop("_target_")).endswith("LocalLauncher")
        cluster = "local" if is_local else "slurm"
        places = max(1, available_cores()) if is_local else int(given["array_parallelism"])
        self.places = config.parallel or min(places, trials)
        folder = given.pop("submitit_folder")
        limit = {f"{cluster}_max_num_timeout": given.pop("max_num_timeout")} if "max_num_timeout" in given else {}
        threads = given["cpus_per_task"] or config.cpus_per_trial or max(1, places // self.places if is_local else 1)
        given["cpus_per_task"] = threads
        shared = OmegaConf.structured(BaseQueueConf).keys()
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **limit)
            self._executor.update_parameters(
                **{key if key in shared else f"{cluster}_{key}": value for key, value in given.items()}
            )
        except (RuntimeError, ValueError, NameError) as error:
            raise ConfigError(f"hydra/launcher=submitit_{cluster}: {' '.join(str(error).split())}") from error
        self._task = OnANode(threads)
        self._running: dict[str, tuple[Job, submitit.Job[None]]] = {}

    def submit(self, job: Job) -> None:
        """Queue the job."""
        self._running[job.directory] = (job, self._executor.submit(self._task, job))

    def wait(self, seconds: float) -> list[JobEnd]:
        """The jobs that Slurm reports as ended."""
        until = time.monotonic() + seconds
        while True:
            done = [name for name, (_, running) in self._running.items() if running.done()]
            if done or time.monotonic() >= until:
                return [_ending(*self._running.pop(name)) for name in done]
            time.sleep(POLL)

    def close(self) -> None:
        """Cancel every job; Slurm sends a signal first and kills it later."""
        for _, running in self._running.values():
            running.cancel(check=False)
        until = time.monotonic() + GRACE
        while any(not running.done() for _, running in self._running.values()) and time.monotonic() < until:
            time.sleep(POLL)
        self._running.clear()


def _ending(job: Job, done: "submitit.Job[None]") -> JobEnd:
    try:
        done.result()
    except submitit.core.utils.UncompletedJobError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return JobEnd(job, f"Slurm job {done.job_id} is {done.state}: {lines[0] if lines else ''}", done.state in LOST)
    except Exception as error:
        return JobEnd(job, f"{type(error).__name__}: {error}")
    return JobEnd(job)
