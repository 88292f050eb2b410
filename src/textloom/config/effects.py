"""Which keys of a training's config change what it computes."""

NO_EFFECT = (
    "name",
    "resume",
    "samples.",
    "sweep.",
    "trainer.accelerator",
    "trainer.checkpoint_every.",
    "trainer.log_every_n_steps",
    "trainer.max_rollbacks",
    "trainer.max_time",
    "trainer.num_nodes",
    "trainer.on_nan",
    "trainer.profiler",
    "trainer.progress_bar",
)
"""Keys, and beginnings of keys, that say where, how visibly and how safely it is computed."""


def changes_results(key: str) -> bool:
    """Whether runs that differ in this key are different trainings."""
    return not any(key == other or (other.endswith(".") and key.startswith(other)) for other in NO_EFFECT)
