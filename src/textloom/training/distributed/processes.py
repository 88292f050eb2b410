"""Starting and ending the worker processes that train together.

Rank 0 runs the command; the others (``training/worker.py``) train the run that it names. They communicate through a
store with three keys: ``run``, the run directory, device and precision, set by rank 0; ``over``, set at the end; and
``error``, the message of the first rank that failed, if torchrun or srun started it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import IO, Self

import torch
from torch import distributed
from torch._C._distributed_c10d import TCPStore
from torch.distributed.distributed_c10d import PrefixStore, Store

from textloom.config import TrainerConfig
from textloom.errors import TextloomError, TrainingError
from textloom.runs.run import Run
from textloom.system.placement import Placement, check_placement, placement
from textloom.system.ranks import ALONE, Ranks

JOIN_TIMEOUT = timedelta(minutes=10)  # to import torch and Lightning from a slow file system
COLLECTIVE_TIMEOUT = timedelta(days=1)  # rank 0 prepares data and writes samples while the others wait
SECONDS_TO_FAIL = 10  # for a collective to fail after a rank was lost; after that the process is ended


def open_store(place: Placement) -> Store:
    """The store through which the ranks find each other; hosted by rank 0 unless torchrun hosts it."""
    hosted = place.external and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    host = place.rank == 0 and not hosted
    store = TCPStore(place.address, place.port, None, host, JOIN_TIMEOUT, wait_for_workers=False)
    # the store of torchrun stays when the processes are restarted
    return PrefixStore(f"textloom/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def join(store: Store, place: Placement, device: str) -> Ranks:
    """Wait for all ranks, and join the process group."""
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(
        backend, store=store, rank=place.rank, world_size=place.size, timeout=COLLECTIVE_TIMEOUT
    )
    group = distributed.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)
    return Ranks(place.rank, place.size, place.local_rank, place.local_size, group)


class Workers:
    """The worker processes of the other ranks, on rank 0; none if one device trains.

    Raises ConfigError if torchrun or srun started another number of processes, TrainingError if one failed.
    """

    def __init__(self, config: TrainerConfig):
        given = placement()
        check_placement(given, config.devices, config.num_nodes)
        self.place = given or Placement(0, config.devices, 0, config.devices, "127.0.0.1", 0, external=False)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.stderr: list[IO[bytes]] = []  # stderr of each process
        self.ended = threading.Event()
        self.met = False

    @property
    def size(self) -> int:
        """Number of ranks, including rank 0."""
        return self.place.size

    def __enter__(self) -> Self:
        """Start the processes, which import torch and Lightning while rank 0 prepares the data."""
        if self.place.size == 1:
            return self
        if not self.place.external:
            hub = TCPStore("127.0.0.1", 0, None, True, JOIN_TIMEOUT, wait_for_workers=False)
            self.place = replace(self.place, port=hub.port)
            self.store: Store = PrefixStore("textloom/0", hub)
        else:
            self.store = open_store(self.place)
        self.threads_before = torch.get_num_threads()
        self.threads = max(1, self.threads_before // self.place.local_size)
        self.threads_are_set = "OMP_NUM_THREADS" in os.environ
        if not self.place.external:
            for rank in range(1, self.place.size):
                self._start(rank)
        return self

    def meet(self, run: Run, device: str, precision: str) -> Ranks:
        """Tell the processes what to train, and wait until all have joined."""
        if self.place.size == 1:
            return ALONE
        os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))  # or Lightning would set another number
        torch.set_num_threads(self.threads)  # several processes must share the cores
        threading.Thread(target=self._watch, args=(run,), daemon=True).start()
        given = {"directory": str(run.directory.resolve()), "device": device, "precision": precision}
        self.store.set("run", json.dumps(given))
        self.met = True
        return join(self.store, self.place, device)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; if one of them failed first, raise its error instead of the one that followed here."""
        if self.place.size == 1:
            return
        unexplained = isinstance(error, Exception) and not isinstance(error, TextloomError)
        failure = self._failure(seconds=5) if unexplained else None
        self.ended.set()
        self.store.set("over", "yes")
        if distributed.is_initialized():
            distributed.destroy_process_group()
        for process in self.processes:
            self._end(process, seconds=60 if self.met and not error else 0)
        for file in self.stderr:
            file.close()
        torch.set_num_threads(self.threads_before)
        if not self.threads_are_set:
            os.environ.pop("OMP_NUM_THREADS", None)
        if failure:
            raise TrainingError(failure) from error

    def _start(self, rank: int) -> None:
        command = [sys.executable, "-m", "textloom.training.worker", str(rank), str(self.place.size)]
        self.stderr.append(tempfile.TemporaryFile())  # noqa: SIM115  closed with the rank
        self.processes.append(
            subprocess.Popen(
                [*command, str(self.place.port)],
                env={"OMP_NUM_THREADS": str(self.threads), **os.environ},
                stdin=subprocess.PIPE,  # closed when this process dies for any reason, which ends the worker
                stdout=subprocess.DEVNULL,
                stderr=self.stderr[-1],
                start_new_session=True,  # Ctrl-C reaches only rank 0, which stops the others
            )
        )

    def _end(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def _failure(self, seconds: float) -> str | None:
        """The rank that failed, and its error; None if no rank fails within this many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.place.external and self.store.check(["error"]):
                return str(self.store.get("error").decode())
            if self._lost():
                return self._lost()
            time.sleep(0.1)
        return None

    def _lost(self) -> str | None:
        """The rank of a failed process that was started here, and its error."""
        for rank, process in enumerate(self.processes, start=1):
            if process.poll():
                return self._end_of(rank)
        return None

    def _end_of(self, rank: int) -> str:
        status = self.processes[rank - 1].returncode
        if status < 0:
            return f"rank {rank} was killed by {signal.Signals(-status).name}; checkpoints written before are good"
        self.stderr[rank - 1].seek(0)
        lines = self.stderr[rank - 1].read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"rank {rank} failed with exit status {status}"

    def _watch(self, run: Run) -> None:
        """End this process if a rank died while a collective waits for it without an error."""
        while not self.ended.wait(1):
            failure = self._lost()
            if failure and not self.ended.wait(SECONDS_TO_FAIL):
                run.mark("failed", failure)
                print(failure, file=sys.stderr, flush=True)
                for process in self.processes:
                    process.kill()
                os._exit(2)
