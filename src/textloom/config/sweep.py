"""How a sweep searches, where its trials run, and when it ends. None of it enters a run's own config."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from textloom.config.section import FolderName, NonNegative, PathText, Positive, Section, Unit, as_tuple

Seconds = Annotated[float, Field(gt=0)]


class SweepConfig(Section):
    """What ``-m`` does."""

    name: Annotated[FolderName, Field(pattern=r"^[^/]+$")] | None
    """Folder of the sweep below outputs/sweeps; null: named after the data or experiment and what varies."""
    space: dict[str, Any]
    """What varies: a key or group, and what it may be, in Hydra's words: a,b, range, glob, interval, tag(log, ...)."""
    when: dict[str, dict[str, Any]]
    """What varies only where a choice was made: 'key=value' or 'key=value,value', and the space that it opens."""
    sampler: Literal["grid", "random", "tpe", "gp", "cmaes"] | None
    """How trials are chosen; null: the grid of all combinations, or tpe where n_trials is given."""
    n_trials: Annotated[Positive | None, Unit("trials")]
    """Trials in total, over all calls of the command; a grid has as many as it has points."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Of the sampler; that of the trials is the key seed."""
    metric: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """What is best, by its name in results.json; several are weighed against each other."""
    pruner: Literal["median", "hyperband"] | None
    """Ends trials early that do worse at a validation than the others did at theirs; null: none."""
    storage: PathText | None
    """Where the study is kept: a storage URL of Optuna; null: the file study.journal in the sweep's folder."""
    launcher: Literal["serial", "subprocess", "workers", "ray"]
    """Where trials run: this process, a process each, reused processes, a Ray cluster. Slurm: hydra/launcher."""
    parallel: Annotated[Positive | None, Unit("trials")]
    """Trials at a time; null: as many as there are cores, or GPUs, or places in the cluster."""
    cpus_per_trial: Annotated[Positive | None, Unit("cores")]
    """Cores of a trial; null: an equal share, and in a cluster one."""
    trials_per_gpu: Annotated[Positive, Unit("trials")]
    """Trials that share a GPU."""
    trial_timeout: Annotated[Seconds | None, Unit("seconds")]
    """Seconds after which a trial is stopped and counted as failed; null: no limit."""
    retries: NonNegative
    """How often a trial goes on elsewhere, within the same call, when the machine that it ran on is lost."""
    address: str | None
    """Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT; null: start one on this machine."""
    dry_run: bool
    """Check every trial, print what each would cost, and train nothing."""
