"""A sweep's folder: which trials it may hold, and their names."""

from pathlib import Path

import pytest

from conftest import compose_train
from textloom.errors import RunError
from textloom.sweeps.directory import config_checksum, refuse_another_config, write_config
from textloom.sweeps.space import Choices, Parameter, Space
from textloom.sweeps.trials import LONGEST_NAME, directory_name, fingerprint
from textloom.system.files import write_json

UNITS = Parameter("model.units", Choices((4, 8), ("4", "8")))
EXPERIMENT = Parameter("experiment", Choices(("a", "b"), ("a", "b")))


def config(**changed: object) -> dict[str, object]:
    return {
        "name": "n",
        "data": {"path": "a.txt"},
        "model": {"units": 4, "layers": 1},
        "samples": {"length": 5},
    } | changed


def test_keys_that_a_newer_version_has_added_do_not_refuse_a_sweep_written_before(tmp_path: Path) -> None:
    space = Space({}, (UNITS,))
    write_json(tmp_path / "sweep.json", {"fixed": {"data.path": "a.txt"}, "varying": ["model.units"]})
    refuse_another_config(tmp_path, config(), space)
    with pytest.raises(RunError, match=r"data\.path=a\.txt then, data\.path=b\.txt now"):
        refuse_another_config(tmp_path, config(data={"path": "b.txt"}), space)


def test_what_changes_no_figure_and_what_varies_make_no_other_sweep(tmp_path: Path) -> None:
    space = Space({}, (UNITS,))
    write_config(tmp_path, config(), space)
    same = config(name="other", model={"units": 99, "layers": 1}, samples={"length": 9})
    write_config(tmp_path, same, space)
    assert config_checksum(config(), space) == config_checksum(same, space)
    assert config_checksum(config(), space) != config_checksum(config(data={"path": "b.txt"}), space)


def test_a_sweep_over_experiments_compares_the_keys_given_beside_them(tmp_path: Path) -> None:
    write_config(tmp_path, config(), Space({"model.layers": "1"}, (EXPERIMENT,)))
    write_config(tmp_path, config(), Space({"model.layers": "1", "samples.length": "9"}, (EXPERIMENT,)))
    with pytest.raises(RunError, match=r"model\.layers=1 then, model\.layers=2 now"):
        refuse_another_config(tmp_path, config(), Space({"model.layers": "2"}, (EXPERIMENT,)))


def test_names_of_trials_fit_any_file_system_and_differ() -> None:
    points = [{"data.path": f"'{'红楼' * 40}, {end}.txt'"} for end in "ab"] + [{"name": "größe"}, {"name": "'1984'"}]
    names = [directory_name(point) for point in points]
    assert len(set(names)) == len(names)
    assert all(len(name.encode()) <= LONGEST_NAME for name in names)
    assert names[2:] == ["name=größe", "name=1984"]


def test_spellings_of_one_path_are_one_trial_and_one_sweep(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "x").mkdir()
    (tmp_path / "b.txt").symlink_to("a.txt")
    spellings = ["a.txt", "./a.txt", str(tmp_path / "a.txt"), "b.txt", "[a.txt]", "x/../a.txt"]
    configs = [compose_train("data=text_files", f"data.path={path}") for path in spellings]
    assert len({fingerprint(config, ("data.path",)) for config in configs}) == 1
    other = compose_train("data=text_files", "data.path=[a.txt,b.txt]")
    assert fingerprint(other, ("data.path",)) != fingerprint(configs[0], ("data.path",))

    space = Space({}, (UNITS,))
    write_config(tmp_path, config(), space)
    refuse_another_config(tmp_path, config(data={"path": "./a.txt"}), space)
    assert config_checksum(config(), space) == config_checksum(config(data={"path": ["a.txt"]}), space)


def test_the_id_of_a_data_set_is_no_path() -> None:
    ids = [compose_train("data=hub", f"data.path={path}") for path in ("owner/set", "./owner/set")]
    assert len({fingerprint(config, ("data.path",)) for config in ids}) == 2
