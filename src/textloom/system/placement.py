"""The place of this process among those that torchrun or Slurm's srun started, one for each device."""

import os
import re
from dataclasses import dataclass

from textloom.errors import ConfigError


@dataclass(frozen=True)
class Placement:
    """The numbers of one of several processes, and the address at which they connect."""

    rank: int
    size: int
    """The number of processes on all nodes."""
    local_rank: int
    local_size: int
    """The number of processes on this node."""
    address: str
    """The node of rank 0."""
    port: int
    external: bool = True
    """True if torchrun or srun started the processes; False if rank 0 did."""


def placement() -> Placement | None:
    """The placement that the environment describes; None if this is the only process."""
    return _torchrun() or _slurm()


def check_placement(given: Placement | None, devices: int, num_nodes: int) -> None:
    """Check that there is one process for each device of the config. Raises ConfigError if not."""
    asked = f"trainer.devices={devices}, trainer.num_nodes={num_nodes}"
    if given is None and num_nodes > 1:
        raise ConfigError(
            f"{asked}: this process is alone; start one for each device with torchrun or srun, or set "
            "trainer.num_nodes=1"
        )
    if given is not None and (given.size, given.local_size) != (devices * num_nodes, devices):
        nodes = given.size // given.local_size
        raise ConfigError(
            f"{asked}: {given.size} processes were started on {nodes} node(s); "
            f"set trainer.devices={given.local_size} trainer.num_nodes={nodes}, or start as many as asked for"
        )


def _torchrun() -> Placement | None:
    """The placement by torchrun (https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables)."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, size, local_rank, local_size = (int(os.environ[name]) for name in names)
    return Placement(rank, size, local_rank, local_size, os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))


def _slurm() -> Placement | None:
    """The placement by srun (https://slurm.schedmd.com/srun.html, output environment variables)."""
    environment = os.environ
    size = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if size == 1:
        return None
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
    # the port differs between steps of a job, which may train at the same time, and all ranks can compute it
    step = int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])
    return Placement(
        rank=int(environment["SLURM_PROCID"]),
        size=size,
        local_rank=int(environment["SLURM_LOCALID"]),
        local_size=size // nodes,
        address=_first_host(environment.get("SLURM_STEP_NODELIST", "127.0.0.1")),
        port=int(environment.get("MASTER_PORT", 15000 + step % 20000)),
    )


def _first_host(nodes: str) -> str:
    """The first of the hosts that Slurm lists, such as ``host0,host1``, ``host[5-9,12]`` or ``host[007]``."""
    return re.sub(r"\[(\w+)[^]]*\]", r"\1", nodes).split()[0].split(",")[0]
