"""Configs: every shipped file fits the schema, and mistakes are reported in one line."""

from pathlib import Path

import pytest

from conftest import compose_train, files_of_the_user
from textloom.config.checking import config_directory
from textloom.errors import ConfigError

GROUPS = ("data", "tokenizer", "batching", "model", "optimizer", "schedule", "trainer", "sweep", "experiment")


def shipped() -> list[str]:
    return sorted(
        f"{path.parent.name}={path.stem}" for group in GROUPS for path in (config_directory() / group).iterdir()
    )


def test_every_group_has_its_files() -> None:
    assert {choice.partition("=")[0] for choice in shipped()} == set(GROUPS)
    assert len(shipped()) >= 20


@pytest.mark.parametrize("choice", shipped())
def test_every_shipped_config_fits_the_schema(choice: str) -> None:
    group, _, name = choice.partition("=")
    needs_path = choice in ("data=text_files", "data=table", "data=hub") or "patents" in name
    given = ["data.path=some.csv"] if needs_path else []
    given = files_of_the_user(name) if group == "experiment" else given
    others = {
        "optimizer=ntasgd": ["trainer.weight_averaging=null"],
        "tokenizer=article": ["experiment=article_patents", "data.path=some.csv"],
        "tokenizer=pretrained": ["tokenizer.path=tokenizer.json"],
    }
    compose_train(*others.get(choice, ()), choice, *given)


def test_a_config_names_its_run_after_its_choices() -> None:
    assert compose_train("model=gru", "tokenizer=byte").name == "toy_byte_gru"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.units=-1"], "model.units=-1: must be greater than 0 (Recurrent units in each layer"),
        (["batching.steps=0"], "batching.steps=0: must be greater than 0"),
        (["batching=windows", "batching.context=0"], "batching.context=0: must be greater than 0"),
        (["model.units=many"], "model.units=many: must be a whole number"),
        (["model.units=auto"], "model.units=auto needs a budget; give it as model.parameters=1e6"),
        (["model.units=auto", "model.parameters=0"], "model.parameters=0: must be greater than 0"),
        (["model.units=auto", "model.parameters=1e6.5"], "model.parameters=1e6.5: must be a whole number"),
        (["model.units=auto", "model.parameters=2.5"], "model.parameters=2.5: must be a whole number"),
        (["model.units=true"], "model.units=True: must be a whole number"),
        (["model.cell=lsmt"], "model.cell=lsmt: must be one of 'lstm', 'gru', 'rnn', 'mingru', 'minlstm', "),
        (["trainer.val_check_interval=-3"], "trainer.val_check_interval=-3: must be greater than 0"),
        (["trainer.max_steps=0"], "trainer.max_steps=0: "),
        (["+model.unit=256"], "model.unit: there is no such key, did you mean model.units?"),
        (["+modle.units=256"], "modle: there is no such key, did you mean model?"),
        (["data=text_files"], "data.path is missing; give it as data.path=VALUE"),
        (["model.units=128", "model.tied_weights=true"], "model.tied_weights needs embedding_dim equal to units=128"),
        (["model.layer_dropout=0.5"], "model.layer_dropout acts between layers"),
        (["model.embedding_dim=null", "model.input_dropout=0.5"], "model.input_dropout needs an embedding"),
        (["data.validation_fraction=0.6", "data.test_fraction=0.6"], "leave nothing to train on"),
        (["data.validation_fraction=0"], "data.validation_fraction=0 leaves nothing to validate on"),
        (["batching=windows", "batching.shortest_context=99"], "shortest_context=99 is longer than context=50"),
        (["+trainer.extra.max_epochs=3"], "trainer.extra.max_epochs is a key of its own; set trainer.max_epochs"),
        (["name=''"], "name=: "),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_cure(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_train(*overrides)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_kind_changed_by_itself_is_reported_to_be_chosen_whole() -> None:
    with pytest.raises(ConfigError, match=r"^tokenizer\.minimum_frequency is missing; choose .* tokenizer=word"):
        compose_train("tokenizer.level=word")


def test_two_mistakes_are_two_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_train("model.units=0", "seed=-1")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["seed=-1", "model.units=0"]


def test_patents_without_a_path_says_in_two_lines_which_file_and_where_from() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_train("experiment=tutorial_patents")
    first, second = str(caught.value).splitlines()
    assert "patent_abstract" in first
    assert "data.path=FILE" in first
    assert "data.uspto.gov" in second


def test_a_typo_in_a_yaml_file_names_the_key(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from textloom.config import TrainConfig
    from textloom.config.checking import check

    config = compose_train().model_dump(mode="json")
    file = tmp_path / "typo.yaml"
    file.write_text(OmegaConf.to_yaml({**config, "model": {**config["model"], "untis": 3}}))
    with pytest.raises(ConfigError, match=r"^model\.untis: there is no such key, did you mean model\.units\?"):
        check(OmegaConf.load(file), TrainConfig)  # type: ignore[arg-type]
