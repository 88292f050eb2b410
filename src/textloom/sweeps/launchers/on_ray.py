"""Ray: each trial is a task with CPUs and a share of a GPU, on any machine that shares the folder of the sweep."""

import os
import socket

from textloom.config import SweepConfig
from textloom.errors import ConfigError
from textloom.sweeps.execute import GRACE, execute_in_child
from textloom.sweeps.job import Job
from textloom.sweeps.launchers import JobEnd

SECONDS_TO_ANSWER = 5

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
try:
    import ray
    from ray import exceptions
except ImportError as error:
    raise ConfigError("sweep.launcher=ray: Ray is not installed; pip install 'textloom[ray]'") from error


class RayLauncher:
    """A Ray task for each trial, without Ray's retries: the sweep itself resumes a trial on another machine."""

    prints_here = False

    def __init__(self, config: SweepConfig, trials: int, accelerator: str):
        _connect(config.address)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cpus = config.cpus_per_trial or 1
        gpus = resources.get("GPU", 0.0) if accelerator in ("auto", "gpu", "cuda") else 0.0
        capacity = int(gpus * config.trials_per_gpu) if gpus else int(resources.get("CPU", 1.0) // cpus)
        self.places = config.parallel or max(1, min(capacity, trials))
        share = 1 / config.trials_per_gpu if gpus else 0
        self._task = ray.remote(num_cpus=cpus, num_gpus=share, max_retries=0)(execute_in_child)
        self._running: dict[ray.ObjectRef[None], Job] = {}

    def submit(self, job: Job) -> None:
        """Start a task on any machine with free resources."""
        self._running[self._task.remote(job)] = job

    def wait(self, seconds: float) -> list[JobEnd]:
        """The tasks that ended, or whose machine was lost."""
        if not self._running:
            return []
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [_ending(task, self._running.pop(task)) for task in done]

    def close(self) -> None:
        """Interrupt every task, then kill it; a cluster that was started here ends too."""
        tasks = list(self._running)
        try:
            for task in tasks:
                ray.cancel(task, force=False)  # as Ctrl-C: a checkpoint is written
            if tasks:
                ray.wait(tasks, num_returns=len(tasks), timeout=GRACE)
        finally:
            for task in tasks:
                ray.cancel(task, force=True)
            self._running.clear()
            ray.shutdown()


def _connect(address: str | None) -> None:
    """Connect to a running cluster, or start one on this machine."""
    if address not in (None, "auto", "local"):
        _refuse_a_silent_host(str(address))
    try:
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"sweep.address={address}: no Ray cluster answers ({reason}); {START}") from error


START = "start one with ray start --head, or leave the address out to start one here"


def _refuse_a_silent_host(address: str) -> None:
    """Raises ConfigError if nothing answers at the address; Ray itself would try for a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"sweep.address={address}: no Ray cluster answers ({error}); {START}") from error


def _ending(task: "ray.ObjectRef[None]", job: Job) -> JobEnd:
    lost = (exceptions.NodeDiedError, exceptions.LocalRayletDiedError, exceptions.ObjectLostError)
    try:
        ray.get(task)
    except lost as error:
        return JobEnd(job, f"its machine was lost: {_first_line(error)}", lost=True)
    except exceptions.RayError as error:
        return JobEnd(job, f"{type(error).__name__}: {_first_line(error)}")
    return JobEnd(job)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
