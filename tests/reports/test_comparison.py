"""Comparisons: comparable runs are grouped, ranked and tested, and every run is listed."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made import make_run

from conftest import Answer, train_run
from textloom.config.values import value_text
from textloom.errors import RunError
from textloom.reports.collect import find_directories
from textloom.reports.compare import Comparison, Group, compare_runs
from textloom.reports.render import render, render_csv, render_json, render_markdown
from textloom.reports.table import table_of
from textloom.reports.text import render_text
from textloom.system.files import write_json

CAPITALS = "The Cat sat on the Mat.\n\nA Dog saw the Cat and the Mat.\n\nThe Mat is a Mat, the Dog a Dog.\n\n" * 3


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes of three seeds, well apart; a third with one seed; one that failed, one that runs."""
    folder = tmp_path_factory.mktemp("sweep")
    for units, losses in ((64, (1.01, 1.02, 1.00)), (32, (1.30, 1.31, 1.33)), (16, (1.02, 1.01, 1.04))):
        for seed, loss in enumerate(losses):
            make_run(folder / f"{units}-{seed}", f"model.units={units}", f"seed={seed}", loss=loss)
    make_run(folder / "8-0", "model.units=8", loss=1.02)
    make_run(folder / "failed", "model.units=4", status="failed", error="TrainingError: the loss is nan\nat step 3")
    make_run(folder / "running", "model.units=2", status="running")  # whose process is gone
    return folder


@pytest.fixture(scope="module")
def comparison(sweep: Path) -> Comparison:
    return compare_runs(find_directories([str(sweep)]), "val/loss")


def only(comparison: Comparison) -> Group:
    (group,) = comparison.groups
    return group


def test_seeds_form_one_row_and_only_what_differs_is_a_column(comparison: Comparison) -> None:
    group = only(comparison)
    assert group.keys == ("model.cell", "model.units")
    trained = [row for row in group.rows if not row.is_ngram]
    assert [row.setting["model.units"] for row in trained] == [64, 8, 16, 32]
    best = trained[0].figures["val/loss"]
    assert (best.mean, best.deviation, trained[0].seeds) == (pytest.approx(1.01), pytest.approx(0.01), 3)
    assert trained[1].seeds == 1
    lowest = min(trained[0].records, key=lambda record: record.results["val/loss"])
    assert f"best run: {lowest.run.directory}" in render_text(comparison)


@pytest.mark.parametrize(
    ("value", "typed"), [([200, 1000], "[200,1000]"), ([], "[]"), (None, "null"), (True, "true"), (0.5, "0.5")]
)
def test_a_value_is_shown_as_it_is_typed(value: object, typed: str) -> None:
    assert value_text(value) == typed


def test_a_difference_is_judged_by_welch_and_holm_and_one_seed_tells_nothing(comparison: Comparison) -> None:
    verdicts = {row.setting.get("model.units"): row.verdict for row in only(comparison).rows if not row.is_ngram}
    assert verdicts[64] == "best"
    assert verdicts[32].startswith("worse (p")
    assert verdicts[16].startswith("within noise (p=")
    assert verdicts[8] == "one seed: cannot tell"
    (note,) = (note for note in only(comparison).notes if "Welch" in note)
    assert "adjusted by Holm for 2 comparisons" in note


def test_every_run_that_is_not_ranked_is_listed_with_its_status(comparison: Comparison) -> None:
    listed = {run.directory.name: (run.status, run.reason) for run in comparison.unranked}
    assert listed == {
        "failed": ("failed", "TrainingError: the loss is nan"),
        "running": ("interrupted", "its process was killed"),
    }


def test_counting_models_stand_in_every_comparison(comparison: Comparison) -> None:
    counted = {row.setting["model.cell"]: row for row in only(comparison).rows if row.is_ngram}
    assert {"uniform", "unigram"} < set(counted)
    (ngram,) = (row for name, row in counted.items() if name.endswith("-gram"))
    losses = [row.figures["val/loss"].mean for row in (ngram, counted["unigram"], counted["uniform"])]
    assert losses == sorted(losses)
    for row in only(comparison).rows:
        if not row.is_ngram:
            assert row.against_counting.startswith("beats")


def test_a_network_that_does_not_beat_counting_says_so(tmp_path: Path) -> None:
    train_run(tmp_path / "lstm", "trainer=debug")
    counting = train_run(tmp_path / "ngram", "experiment=ngram")
    group = only(compare_runs([tmp_path / "lstm", tmp_path / "ngram"]))
    trained = next(row for row in group.rows if not row.is_ngram)
    name = f"{counting.results()['order']}-gram"
    assert trained.against_counting == f"does not beat {name}"
    assert group.rows[0].records[0].run.directory == counting.directory  # the run itself, not counted once more
    assert [row.setting["model.cell"] for row in group.rows].count(name) == 1
    assert f"does not beat {name}" in render_text(compare_runs([tmp_path / "lstm", tmp_path / "ngram"]))


def test_runs_without_tokens_are_ranked_with_a_note(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run.tokens / "train.tokens").unlink()
    group = only(compare_runs([run.directory]))
    assert len(group.rows) == 1
    assert any("without counting rows" in note and "train.tokens" in note for note in group.notes)


def test_other_text_split_or_evaluation_is_another_group_with_its_heading(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(CAPITALS)
    files = ["data=text_files", f"data.path={text}", "data.documents=blank_line", "data.fold_duplicates=false"]
    made = {
        "toy": [],
        "toy_again": ["model.units=8"],
        "rows": ["batching.evaluation_rows=4"],
        "text": files,
        "split": [*files, "data.split_seed=1"],
        "lower": [*files, "tokenizer.lowercase=true"],
    }
    for name, overrides in made.items():
        make_run(tmp_path / "runs" / name, *overrides)
    comparison = compare_runs(find_directories([str(tmp_path / "runs")]))
    members = [
        {record.run.directory.name for row in group.rows for record in row.records} for group in comparison.groups
    ]
    assert sorted(members, key=sorted) == [{"lower"}, {"rows"}, {"split"}, {"text"}, {"toy", "toy_again"}]
    headings = {name: group.heading for group, names in zip(comparison.groups, members, strict=True) for name in names}
    assert len(set(headings.values())) == 5
    assert headings["rows"].endswith("protocol streams(4)")
    assert headings["toy"].endswith("protocol stream")
    assert "data.split_seed=1" in headings["split"]
    assert "lower-cased" in headings["lower"]
    assert "case kept" in headings["text"]
    assert "5 groups: figures of different groups do not compare" in render_text(comparison)


def test_other_vocabularies_under_the_same_keys_are_another_group(tmp_path: Path) -> None:
    """As when the file behind tokenizer.path was changed."""
    file, runs = tmp_path / "tokenizer.json", tmp_path / "runs"
    for seed, (name, words) in enumerate([("one", 40), ("again", 40), ("two", 60)]):
        trained = train_run(tmp_path / name, "tokenizer=bpe", f"tokenizer.maximum_size={256 + words}")
        file.write_text(json.loads(trained.tokenizer_file.read_text())["definition"])
        train_run(runs / name, "tokenizer=pretrained", f"tokenizer.path={file}", f"seed={seed}")
    kept = json.loads((runs / "two/evaluations.json").read_text())["evaluations"]
    (tokenizer,) = (part for part in kept[0]["signatures"]["val"].split("|") if part.startswith("tokenizer:"))
    (runs / "again/evaluations.json").unlink()  # its tokenizer.json tells the vocabulary too

    comparison = compare_runs(find_directories([str(runs)]), "val/loss")
    members = {
        group.heading: {record.run.directory.name for row in group.rows for record in row.records}
        for group in comparison.groups
    }
    assert sorted(members.values(), key=sorted) == [{"again", "one"}, {"two"}]
    (heading,) = (heading for heading, names in members.items() if names == {"two"})
    assert heading.endswith(f"tokenizer.vocabulary={tokenizer.partition(':')[2]}")

    together = only(compare_runs(find_directories([str(runs)]), "val/bits_per_char"))
    assert "tokenizer.vocabulary" in together.keys
    assert sorted(row.seeds for row in together.rows if row.records) == [1, 2]
    assert len([row for row in together.rows if row.setting["model.cell"] == "unigram"]) == 2


def test_tokenizers_rank_by_bits_per_character_and_not_by_loss(tmp_path: Path) -> None:
    make_run(tmp_path / "char", loss=2.0)
    make_run(tmp_path / "word", "tokenizer=word", loss=4.0)
    together = only(compare_runs(find_directories([str(tmp_path)]), "val/bits_per_char"))
    assert {row.setting["tokenizer.level"] for row in together.rows} == {"char", "word"}
    assert next(row for row in together.rows if row.records).setting["tokenizer.level"] == "word"
    apart = compare_runs(find_directories([str(tmp_path)]), "val/loss")
    assert sorted("tokenizer.level=word" in group.heading for group in apart.groups) == [False, True]


def test_a_seed_that_was_run_twice_is_no_second_sample(tmp_path: Path) -> None:
    make_run(tmp_path / "first", loss=1.0)
    make_run(tmp_path / "second", loss=1.5)
    comparison = compare_runs(find_directories([str(tmp_path)]), "val/loss")
    (row,) = (row for row in only(comparison).rows if not row.is_ngram)
    assert row.figures["val/loss"].values == (1.5,)
    assert [(run.directory.name, run.status) for run in comparison.unranked] == [("first", "repeated")]


def test_the_terminals_width_is_kept_and_figures_are_never_cut(comparison: Comparison) -> None:
    for width in (60, 80, 120, 200):
        table = render_text(comparison, width)
        assert max(len(line) for line in table.splitlines() if "/" not in line) <= width
        assert "1.0100 ± 0.0100" in table
    assert "omitted for lack of width" in render_text(comparison, 80)
    assert "left out" not in render_text(comparison)


def test_many_keys_stand_below_their_row_and_no_word_is_broken(tmp_path: Path) -> None:
    keys = {
        "model.units": "12", "model.layers": "2", "model.embedding_dim": "12", "model.input_dropout": "0.25",
        "model.layer_dropout": "0.125", "model.output_dropout": "0.375", "optimizer.learning_rate": "0.00123",
        "trainer.batch_size": "16", "trainer.max_epochs": "7", "trainer.gradient_clip_val": "0.5",
        "batching.steps": "12", "trainer.early_stopping_patience": "5", "optimizer.beta2": "0.98",
        "trainer.precision": "32-true",
    }  # fmt: skip
    make_run(tmp_path / "one", loss=1.0)
    make_run(tmp_path / "two", *(f"{key}={value}" for key, value in keys.items()), loss=2.0)
    comparison = compare_runs(find_directories([str(tmp_path)]), "val/loss")
    for width in (50, 80, 120):
        text = render_text(comparison, width)
        assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= width
        words = text.split()
        for key, value in keys.items():
            assert f"{key}={value}" in words
        for whole in ("cannot", "tell", "counting", "uniform", "9-gram"):
            assert whole in " ".join(words)
    assert max(map(len, render(comparison, "text").splitlines())) <= 120  # for a file
    assert max(map(len, render(comparison, "text", bounded=False).splitlines())) > 300


def test_keys_that_change_no_results_make_no_rows_and_no_columns_unless_all_are_wanted(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    make_run(tmp_path / "one", "trainer.profiler=simple", "samples.length=9", "seed=1", loss=1.0)
    make_run(tmp_path / "two", "trainer.accelerator=cpu", "trainer.on_nan=rollback", "seed=2", loss=1.2)
    answer = command("compare", f"runs={tmp_path}/*", "metric=val/loss")
    assert "1.1000 ± 0.1414" in answer.out
    assert "profiler" not in answer.out
    whole = command("compare", f"runs={tmp_path}/*", "metric=val/loss", "columns=all")
    assert "1.1000 ± 0.1414" in whole.out
    for told in ("trainer.profiler", "[simple,null]", "trainer.accelerator", "[auto,cpu]", "[1,2]"):
        assert told in whole.out
    assert "left out" not in whole.out


def test_copies_of_training_text_are_columns_if_all_are_wanted(command: Callable[..., Answer], tmp_path: Path) -> None:
    shares = {"copied": "", "new_ngrams": 0.25, "distinct": 1.0, "n": 16}
    for name, longest in (("one", 20), ("two", 30)):
        run = make_run(tmp_path / name, "model.units=8", f"seed={len(name) + longest}")
        samples = {"0.5": {**shares, "longest_copy": longest, "ngram_perplexity": 4.0},
                   "1.0": {**shares, "longest_copy": 5, "ngram_perplexity": 6.0}}  # fmt: skip
        write_json(run.memorization_file, samples)
    given = ["compare", f"runs={tmp_path}/*", "metric=val/loss"]
    (row,) = [row for row in csv.DictReader(io.StringIO(command(*given, "format=csv").out)) if row["verdict"] == "best"]
    found = [float(row[f"samples/{name}"]) for name in ("longest_copy", "new_ngrams", "ngram_perplexity")]
    assert found == [25.0, 0.25, 5.0]
    assert float(row["samples/longest_copy/std"]) > 0
    assert "longest_copy" not in command(*given).out
    table = [line for line in command(*given, "columns=all", "format=md").out.splitlines() if line.startswith("| ")]
    (line,) = [line for line in table if " lstm " in line]
    cells = dict(zip(table[0].split(" | "), line.split(" | "), strict=True))
    named = [cells[f"samples/{name}".replace("_", r"\_")] for name in ("longest_copy", "new_ngrams", "distinct_ngrams")]
    assert named == ["25", "0.250", "1.000"]
    (tmp_path / "one/memorization.json").write_text("{")
    damaged = command(*given)
    assert damaged.status == 0
    assert "passed over: " in damaged.err


def test_csv_markdown_and_json_hold_every_row(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(comparison))))
    best = next(row for row in rows if row["verdict"] == "best")
    assert float(best["val/loss"]) == pytest.approx(1.01)
    assert float(best["val/loss/std"]) == pytest.approx(0.01)
    assert {row["status"] for row in rows} == {"completed", "", "failed", "interrupted"}
    found = json.loads(render_json(comparison))
    assert len(found["groups"][0]["rows"]) == len(only(comparison).rows)
    assert found["groups"][0]["rows"][0]["figures"]["val/loss"]["values"]
    assert len(found["not_ranked"]) == 2
    markdown = render_markdown(comparison).splitlines()
    assert sum(line.startswith("| lstm") for line in markdown) == 4
    assert len({line.replace("\\|", "").count("|") for line in markdown if line.startswith("| lstm")}) == 1
    assert len(table_of(only(comparison), "val/loss").rows) == len(only(comparison).rows)


@pytest.mark.parametrize("form", ["text", "csv", "md", "json"])
def test_the_command_writes_the_table_to_stdout(command: Callable[..., Answer], sweep: Path, form: str) -> None:
    answer = command("compare", f"runs={sweep}/**", f"format={form}", "metric=val/loss")
    assert answer.status == 0, answer.err
    assert answer.err == ""
    assert "within noise" in answer.out


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_metric_that_no_run_has_is_one_line_with_the_nearest(command: Callable[..., Answer], sweep: Path) -> None:
    answer = command("compare", f"runs={sweep}", "metric=val/bit_per_char")
    assert (answer.status, len(answer.err.splitlines()), answer.out) == (2, 1, "")
    assert "metric=val/bit_per_char: no run has it, did you mean val/bits_per_char?" in answer.err


def test_a_glob_that_matches_nothing_or_no_run_is_one_line(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for pattern, told in (("nowhere/**", "matches no file"), ("empty", "no run directory is there")):
        answer = command("compare", f"runs={pattern}")
        assert (answer.status, len(answer.err.splitlines()), answer.out) == (2, 1, "")
        assert f"runs={pattern}: {told}" in answer.err


def test_a_results_file_that_is_not_json_is_reported_and_the_others_are_compared(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    good, bad = make_run(tmp_path / "good"), make_run(tmp_path / "bad", "seed=1")
    bad.results_file.write_text("not json")
    answer = command("compare", f"runs={tmp_path}/*")
    assert answer.status == 0
    assert len(answer.err.splitlines()) == 1
    assert f"{bad.results_file}: damaged" in answer.err
    assert str(good.directory) in answer.out
    assert f"{bad.directory} damaged" in " ".join(answer.out.split())
    alone = command("compare", f"runs={bad.directory}")
    assert alone.status == 2
    assert f"{bad.results_file}: damaged" in alone.err


def test_directories_with_commas_and_brackets_are_taken_as_they_are(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "0_model.units=8,seed=[1]")
    answer = command("compare", f"runs={run.directory}")
    assert answer.status == 0, answer.err
    assert str(run.directory) in answer.out
    both = command("compare", f"runs=[{tmp_path}/*,{tmp_path}]")
    assert both.status == 0, both.err


def test_unfinished_runs_alone_are_listed(command: Callable[..., Answer], tmp_path: Path) -> None:
    make_run(tmp_path / "run", status="interrupted", error="Interrupted: SIGTERM")
    answer = command("compare", f"runs={tmp_path}")
    assert answer.status == 0
    assert "no run is completed: nothing to rank" in answer.out
    assert "interrupted" in answer.out


def test_each_run_is_found_once_whatever_links_and_brackets_are_there(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    for name in ("a", "deep/b", "my [v2]/c"):
        (outputs / name).mkdir(parents=True)
        (outputs / name / "status.json").write_text("{}")
    (outputs / "again").symlink_to(outputs)
    (outputs / "Link to a").symlink_to(outputs / "a")
    everything = [outputs / "a", outputs / "deep/b", outputs / "my [v2]/c"]
    assert find_directories([f"{outputs}/**"]) == everything
    assert find_directories([str(outputs)]) == everything
    assert find_directories([f"{outputs}/my [v2]/*", f"{outputs}/a/**"]) == [everything[2], everything[0]]
    assert find_directories([f"{outputs}/Link*"]) == [outputs / "Link to a"]
    with pytest.raises(RunError, match="matches no file"):
        find_directories([f"{outputs}/nothing/**"])
