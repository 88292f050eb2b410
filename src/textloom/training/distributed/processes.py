"""Starting the processes that train together, and ending them together.

Rank 0 runs the command; the others (``worker.py``) only receive the run to train. They meet at a
store that holds ``run``, what rank 0 tells; ``over``, when all is; and ``error``, what the first that failed says where
torchrun or srun started it.
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

MEETING = timedelta(minutes=10)  # importing torch and Lightning on a slow file system
PATIENCE = timedelta(days=1)  # rank 0 prepares data and writes samples while the others wait
SECONDS_TO_FAIL = 10  # a lost rank ends a collective with an error; where it does not, the process ends all the same


def open_store(place: Placement) -> Store:
    """Where the ranks meet; rank 0 hosts it, where torchrun does not."""
    hosted = place.external and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    host = place.rank == 0 and not hosted
    store = TCPStore(place.address, place.port, None, host, MEETING, wait_for_workers=False)
    # torchrun's own store outlives a restart of the processes
    return PrefixStore(f"textloom/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def join(store: Store, place: Placement, device: str) -> Ranks:
    """Wait for all ranks, and become one of them."""
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=place.rank, world_size=place.size, timeout=PATIENCE)
    talk = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(place.rank, place.size, place.local_rank, place.local_size, talk)


class Workers:
    """The other ranks, as rank 0 sees them; there are none where one device trains.

    Raises ConfigError if torchrun or srun started another number of processes, TrainingError if one failed.
    """

    def __init__(self, config: TrainerConfig):
        given = placement()
        check_placement(given, config.devices, config.num_nodes)
        self.place = given or Placement(0, config.devices, 0, config.devices, "127.0.0.1", 0, external=False)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.said: list[IO[bytes]] = []  # what each wrote to stderr
        self.over = threading.Event()
        self.met = False

    @property
    def size(self) -> int:
        """How many ranks there are, rank 0 counted in."""
        return self.place.size

    def __enter__(self) -> Self:
        """Start them: they import torch and Lightning while rank 0 prepares the data."""
        if self.place.size == 1:
            return self
        if not self.place.external:
            hub = TCPStore("127.0.0.1", 0, None, True, MEETING, wait_for_workers=False)
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
        """Tell them what to train, and wait until all are there."""
        if self.place.size == 1:
            return ALONE
        os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))  # else Lightning sets another
        torch.set_num_threads(self.threads)  # many processes with as many threads as cores crawl
        threading.Thread(target=self._watch, args=(run,), daemon=True).start()
        given = {"directory": str(run.directory.resolve()), "device": device, "precision": precision}
        self.store.set("run", json.dumps(given))
        self.met = True
        return join(self.store, self.place, device)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them; where one of them failed first, say so instead of what came of it here."""
        if self.place.size == 1:
            return
        unexplained = isinstance(error, Exception) and not isinstance(error, TextloomError)
        failure = self._failure(seconds=5) if unexplained else None
        self.over.set()
        self.store.set("over", "yes")
        if distributed.is_initialized():
            distributed.destroy_process_group()
        for process in self.processes:
            self._end(process, seconds=60 if self.met and not error else 0)
        for file in self.said:
            file.close()
        torch.set_num_threads(self.threads_before)
        if not self.threads_are_set:
            os.environ.pop("OMP_NUM_THREADS", None)
        if failure:
            raise TrainingError(failure) from error

    def _start(self, rank: int) -> None:
        command = [sys.executable, "-m", "textloom.training.worker", str(rank), str(self.place.size)]
        self.said.append(tempfile.TemporaryFile())  # noqa: SIM115  closed with the rank
        self.processes.append(
            subprocess.Popen(
                [*command, str(self.place.port)],
                env={"OMP_NUM_THREADS": str(self.threads), **os.environ},
                stdin=subprocess.PIPE,  # closes when this process dies, however it does, and the other ends with it
                stdout=subprocess.DEVNULL,
                stderr=self.said[-1],
                start_new_session=True,  # Ctrl-C reaches rank 0 alone, which stops all
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
        """Which rank failed, and how; None where none does within some seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.place.external and self.store.check(["error"]):
                return str(self.store.get("error").decode())
            if self._lost():
                return self._lost()
            time.sleep(0.1)
        return None

    def _lost(self) -> str | None:
        """Which of the processes started here failed, and how."""
        for rank, process in enumerate(self.processes, start=1):
            if process.poll():
                return self._end_of(rank)
        return None

    def _end_of(self, rank: int) -> str:
        status = self.processes[rank - 1].returncode
        if status < 0:
            return f"rank {rank} was killed by {signal.Signals(-status).name}; checkpoints written before are good"
        self.said[rank - 1].seek(0)
        lines = self.said[rank - 1].read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"rank {rank} failed with exit status {status}"

    def _watch(self, run: Run) -> None:
        """A rank that died may leave this one waiting for it for ever, deaf to errors."""
        while not self.over.wait(1):
            failure = self._lost()
            if failure and not self.over.wait(SECONDS_TO_FAIL):
                run.mark("failed", failure)
                print(failure, file=sys.stderr, flush=True)
                for process in self.processes:
                    process.kill()
                os._exit(2)
