"""Every key of a training's config says whether it changes results, and everything that asks agrees."""

from pathlib import Path
from typing import Any

import pytest
from made import make_run

from conftest import compose_train
from textloom.config import Effect, TrainConfig, effect_of
from textloom.config.document import COMMANDS, page
from textloom.config.keys import KIND_KEYS, Form, effects_of, keys_of
from textloom.reports.collect import Record
from textloom.reports.compare import compare_runs
from textloom.runs.run import Run
from textloom.sweeps.directory import refuse_another_config, write_config
from textloom.sweeps.space import Choices, Parameter, Space
from textloom.sweeps.trials import compared
from textloom.training.resume import may_change
from textloom.training.tensorboard import hyperparameter_types

LEAVES = [key for key in keys_of(TrainConfig).values() if key.form is not Form.GROUP]


def nested(key: str, value: Any) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    name, _, rest = key.partition(".")
    return {name: nested(rest, value) if rest else value}


def test_every_group_and_every_key_beside_the_groups_is_marked() -> None:
    for name, field in TrainConfig.model_fields.items():
        assert any(isinstance(mark, Effect) for mark in field.metadata), name


def test_a_key_without_a_mark_has_that_of_its_group() -> None:
    assert effect_of("data.filters.year") is Effect.DATA
    assert effect_of("trainer.checkpoint_every.minutes") is Effect.NONE
    assert effect_of("trainer.extra.max_time") is effect_of("trainer.max_time")
    assert effect_of("model.key_of_a_plugin") is Effect.RESULTS


@pytest.mark.parametrize("key", LEAVES, ids=lambda key: key.name)
def test_comparison_sweep_resume_and_tensorboard_agree_on_every_key(key: Any) -> None:
    effect = effect_of(key.name)
    record = Record(Run(Path("run")), "completed", None, {key.name: "x"}, {}, "fingerprint")
    assert effect.changes_results or not effect.makes_rows
    assert (key.name in record.setting) == effect.makes_rows
    assert (key.name in compared(nested(key.name, "x"))) == effect.changes_results
    assert (key.name in hyperparameter_types()) == effect.changes_results
    assert may_change(key.name, "constant") == effect.may_change_on_resume


@pytest.mark.parametrize(
    "key", ["trainer.profiler=simple", "trainer.accelerator=cpu", "samples.length=7", "trainer.on_nan=rollback"]
)
def test_a_key_that_changes_no_results_makes_no_row_and_refuses_no_sweep(tmp_path: Path, key: str) -> None:
    runs = [make_run(tmp_path / "a", loss=2.0).directory, make_run(tmp_path / "b", key, "seed=1", loss=2.1).directory]
    (group,) = compare_runs(runs).groups
    assert [row.seeds for row in group.rows if row.seeds] == [2]
    space = Space({}, (Parameter("model.units", Choices((4, 8), ("4", "8"))),))
    write_config(tmp_path, Run(runs[0]).config().model_dump(mode="json"), space)
    refuse_another_config(tmp_path, {**Run(runs[1]).config().model_dump(mode="json"), "seed": 0}, space)


def test_the_number_of_machines_makes_another_batch() -> None:
    assert effect_of("trainer.num_nodes") is effect_of("trainer.devices") is Effect.RESULTS


def test_every_effect_is_used() -> None:
    assert set(effects_of(TrainConfig).values()) == set(Effect)


def test_the_reference_of_all_keys_is_up_to_date() -> None:
    written = (Path(__file__).parents[1] / "docs/keys.md").read_text(encoding="utf-8")
    assert written == page(), "docs/keys.md is stale; run make docs-keys"


def test_the_reference_names_every_key_of_every_command() -> None:
    rows = {line.split("`")[1]: line for line in page().splitlines() if line.startswith("| `")}
    for schema in COMMANDS.values():
        for key in keys_of(schema).values():
            if key.form is not Form.GROUP and not key.is_kind:
                assert key.name in rows, key.name
    assert "| whole number > 0 or null | epochs | `null` | length |" in rows["trainer.max_epochs"]
    assert "adam: `0.004`" in rows["optimizer.learning_rate"]
    assert "*required*" in page()


def test_users_type_kind_under_these_names() -> None:
    typed = {key.name for key in keys_of(TrainConfig).values() if key.is_kind}
    assert typed == {"data.kind", "tokenizer.level", "batching.kind", "model.cell", "optimizer.kind", "schedule.kind"}
    assert {name.rpartition(".")[2] for name in typed} == set(KIND_KEYS)
    config = compose_train()
    assert [getattr(config, name.partition(".")[0]).kind for name in sorted(typed)] == [
        "stream", "toy", "lstm", "adam", "constant", "char",
    ]  # fmt: skip
