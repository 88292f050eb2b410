"""The config of a sweep: its search space, its sampler, and where trials run. Runs do not contain it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from textloom.config.section import FolderName, NonNegative, PathText, Positive, Section, Unit, as_tuple

Seconds = Annotated[float, Field(gt=0)]


class SweepConfig(Section):
    """A sweep, started with ``-m``."""

    name: Annotated[FolderName, Field(pattern=r"^[^/]+$")] | None
    """Folder of the sweep below outputs/sweeps; null: named after the data or experiment and the varying keys."""
    space: dict[str, Any]
    """Search space: keys and groups with their values in Hydra's syntax: a,b, range, glob, interval, tag(log, ...)."""
    when: dict[str, dict[str, Any]]
    """Conditional search spaces: 'key=value' or 'key=value,value', and the keys that vary only in those trials."""
    sampler: Literal["grid", "random", "tpe", "gp", "cmaes"] | None
    """Sampler of the trials; null: the grid of all combinations, or tpe if n_trials is given."""
    n_trials: Annotated[Positive | None, Unit("trials")]
    """Trials in total, over all calls of the command; null for a grid, which has one for each point."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Seed of the sampler; the key seed is that of the trials."""
    metric: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """The figure to optimise, by its name in results.json; several give a Pareto front."""
    pruner: Literal["median", "hyperband"] | None
    """Ends trials early that are worse than others were at the same validation; null for none."""
    storage: PathText | None
    """Storage URL of the Optuna study; null: the file study.journal in the folder of the sweep."""
    launcher: Literal["serial", "subprocess", "workers", "ray"]
    """Place of the trials: this process, a process each, reused processes, a Ray cluster. Slurm: hydra/launcher."""
    parallel: Annotated[Positive | None, Unit("trials")]
    """Trials at a time; null: one for each core, each GPU, or each place in the cluster."""
    cpus_per_trial: Annotated[Positive | None, Unit("cores")]
    """Cores of a trial; null: an equal share, one in a cluster."""
    trials_per_gpu: Annotated[Positive, Unit("trials")]
    """Trials that share a GPU."""
    trial_timeout: Annotated[Seconds | None, Unit("seconds")]
    """Time after which a trial is stopped and counted as failed; null for no limit."""
    retries: NonNegative
    """Number of times that a trial is resumed elsewhere, within the same call, if its machine is lost."""
    address: str | None
    """Address of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT; null: start one on this machine."""
    dry_run: bool
    """Check every trial and print its cost, but train nothing."""
