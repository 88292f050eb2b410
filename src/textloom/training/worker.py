"""The worker process of every rank except 0: it trains the run that rank 0 names, and writes nothing."""

import contextlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.distributed_c10d import Store

from textloom.data.encoding import load_splits
from textloom.errors import TextloomError
from textloom.runs.run import Run
from textloom.system.cpu import denormals_flushed
from textloom.system.placement import Placement
from textloom.tokenizers import load_tokenizer
from textloom.training.distributed.processes import COLLECTIVE_TIMEOUT, join, open_store
from textloom.training.fitting import fit_with_rollbacks
from textloom.training.memory import explained_shortage
from textloom.training.plan import Compute, FitPlan
from textloom.training.preparation import EncodedText
from textloom.training.signals import StopRequest


def work(place: Placement) -> int:
    """Train as one of several ranks; return the exit status."""
    logging.disable()  # rank 0 logs
    store = open_store(place)
    store.wait(["run"], COLLECTIVE_TIMEOUT)
    given = json.loads(store.get("run"))
    try:
        _train(Run(Path(given["directory"])), store, place, given["device"], given["precision"])
    except Exception as error:
        if not isinstance(error, TextloomError):
            traceback.print_exception(error)
        print(f"rank {place.rank}: {error if str(error) else repr(error)}", file=sys.stderr)
        if place.external:
            _report(store, f"rank {place.rank}: {error if str(error) else repr(error)}")
        return 1
    return 0


@denormals_flushed()
def _train(run: Run, store: Store, place: Placement, device: str, precision: str) -> None:
    config = run.config()
    with StopRequest(handles_signals=False) as request, explained_shortage(config, run):
        text = EncodedText(load_tokenizer(run.tokenizer_file), load_splits(run.tokens))
        ranks = join(store, place, device)
        fit_with_rollbacks(FitPlan(config, run, text, Compute(torch.device(device), precision, ranks), request))


def _report(store: Store, message: str) -> None:
    """Report a failure to rank 0, unless another rank failed first or the training has ended."""
    with contextlib.suppress(RuntimeError):  # rank 0 has ended, and the store with it
        time.sleep(0.5)  # an error of rank 0 itself comes first
        if not store.check(["over"]):
            store.compare_set("error", "", message)
            if distributed.is_initialized():
                distributed.destroy_process_group()  # rank 0 notices
            store.wait(["over"], timedelta(seconds=10))


def _end_with_rank_0() -> None:
    """Exit when the pipe closes, because rank 0 has died."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    """``python -m textloom.training.worker RANK SIZE PORT``, as rank 0 starts it on its own node."""
    rank, size, port = map(int, sys.argv[1:])
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    sys.exit(work(Placement(rank, size, rank, size, "127.0.0.1", port, external=False)))


if __name__ == "__main__":
    main()
