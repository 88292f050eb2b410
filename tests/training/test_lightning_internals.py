"""The undocumented behaviour of Lightning that textloom relies on, in one file alone.

Each contract is a function that trains something tiny. The tests of a changed Lightning take one of its parts away and
show that a contract then fails, so that a release that changes it cannot go unnoticed.
"""

import ast
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.progress import _BatchProgress
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from torch.utils.data import DataLoader

import textloom
from textloom.errors import TrainingError
from textloom.training import lightning_internals as internals
from textloom.training.lightning_internals import EpochLoop
from textloom.training.stopping import may_stop

BATCHES = 8


class Model(pl.LightningModule):
    """Learns four weights, with a loss that goes down; ``validation_losses`` are what validations find."""

    def __init__(self, validation_losses: Iterator[float] | None = None):
        super().__init__()
        torch.manual_seed(0)
        self.weights = torch.nn.Parameter(torch.rand(4))
        self.validation_losses = validation_losses

    def configure_optimizers(self) -> Any:
        self.trained = list(self.parameters())
        optimizer = torch.optim.Adam(self.trained, lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        return ((self.weights - batch) ** 2).sum()

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        loss = self.weights.sum() if self.validation_losses is None else torch.tensor(next(self.validation_losses))
        self.log("loss", loss)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        torch.nn.utils.clip_grad_norm_(self.trained, gradient_clip_val or 1.0)


class Skipped(pl.Callback):
    """Needs every fifth step, and notes those that it sees."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        return step % 5 == 0

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        self.seen.append(trainer.global_step)


def loader(batches: int = BATCHES) -> DataLoader[torch.Tensor]:
    return DataLoader([torch.full((4,), 0.1 * index) for index in range(batches)], batch_size=1)  # type: ignore[arg-type]


def fit(
    *callbacks: pl.Callback, ours: bool = False, module: pl.LightningModule | None = None, **given: Any
) -> pl.Trainer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"max_epochs": 2, "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks)}
        trainer = pl.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, callbacks=[*callbacks], **(settings | given),
        )  # fmt: skip
        if ours:
            internals.replace_epoch_loop(trainer, may_stop)
        trainer.fit(module or Model(), loader(), loader(1))
    return trainer


# --- contracts: the loop --------------------------------------------------------------------------------------------


def checkpoint_of(trainer: pl.Trainer, directory: Path) -> dict[str, Any]:
    trainer.save_checkpoint(directory / "some.ckpt")
    checkpoint: dict[str, Any] = torch.load(directory / "some.ckpt", weights_only=True)
    return {key: value for key, value in checkpoint.items() if key not in ("callbacks", "pytorch-lightning_version")}


def quiet_steps_are_those_of_lightning(directory: Path) -> None:
    for given in ({}, {"accumulate_grad_batches": 3}, {"val_check_interval": 3, "check_val_every_n_epoch": None}):
        seen = Skipped()
        theirs = checkpoint_of(fit(**given), directory)
        ours = checkpoint_of(fit(seen, ours=True, **given), directory)
        assert len(seen.seen) < 2 * BATCHES
        assert ours.keys() >= {"state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step", "epoch"}
        assert flat(ours) == flat(theirs)


def flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: flat(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [flat(one) for one in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def hooks_of_a_step_are_those_we_know(directory: Path) -> None:
    called: set[str] = set()

    class Every(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
            if index == 3:
                called.clear()
            called.add("on_train_batch_start")

        def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
            called.add("on_train_batch_end")
            trainer.should_stop = rest[-1] == 3

    def noting(name: str) -> Callable[..., None]:
        return lambda self, *rest, **named: called.add(name)

    for name in vars(pl.Callback):
        if name.startswith("on_") and name not in vars(Every):
            setattr(Every, name, noting(name))
    for name in ("on_validation_start", "on_train_epoch_end"):  # what follows the step
        setattr(Every, name, lambda self, *rest, found=called: found.add("after"))
    seen: list[set[str]] = []

    class Last(pl.Callback):
        def on_train_batch_end(self, *rest: Any) -> None:
            seen.append(set(called))

    fit(Every(), Last(), limit_train_batches=4, max_epochs=1)
    assert seen[-1] == set(internals.STEP_HOOKS)


def what_we_override_is_there(directory: Path) -> None:
    for name in ("on_run_start", "advance", "_should_check_val_fx"):
        assert name in vars(_TrainingEpochLoop)
        assert name in vars(EpochLoop)


def last_step_is_validated_whatever_the_epoch(directory: Path) -> None:
    class Stop(pl.Callback):
        validated = 0

        def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
            trainer.should_stop = trainer.global_step == 5

        def on_validation_end(self, trainer: pl.Trainer, *rest: Any) -> None:
            self.validated = trainer.global_step

    stop = Stop()
    fit(stop, ours=True, check_val_every_n_epoch=2)
    assert stop.validated == 5


# --- contracts: places in the loops ---------------------------------------------------------------------------------


class Places(pl.Callback):
    """Records its position in each hook."""

    def __init__(self) -> None:
        self.announced: list[int] = []  # steps after which a validation was announced
        self.validated: list[int] = []
        self.within: list[tuple[int, int]] = []
        self.after: list[int] = []
        self.epochs: list[int] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.within.append((batch_idx, internals.batches_done(trainer)))
        self.epochs.append(internals.epoch_number(trainer))
        if internals.is_followed_by_validation(trainer, batch_idx):
            self.announced.append(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        self.validated.append(trainer.global_step)
        self.after.append(internals.batches_done(trainer))


def places_are_known(directory: Path) -> None:
    places = Places()
    trainer = fit(places, ours=True)
    assert places.within == [(index, index + 1) for index in range(BATCHES)] * 2
    assert places.after == [BATCHES] * 2
    assert places.epochs == [1] * BATCHES + [2] * BATCHES
    assert trainer.current_epoch == internals.epoch_number(trainer) == 2


def validations_are_announced(directory: Path) -> None:
    for given, expected in (
        ({}, [8, 16]),
        ({"val_check_interval": 0.5}, [4, 8, 12, 16]),
        ({"check_val_every_n_epoch": 2}, [16]),
        ({"check_val_every_n_epoch": None, "val_check_interval": 6}, [6, 12]),
    ):
        places = Places()
        fit(places, ours=True, **given)
        assert places.announced == places.validated == expected


def minimum_length_can_be_dropped(directory: Path) -> None:
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
            if trainer.global_step == 3:
                internals.drop_minimum_length(trainer)
                trainer.should_stop = True

    assert fit(Stop(), ours=True, min_epochs=2, min_steps=10).global_step == 3


# --- contracts: the trainer and its callbacks -----------------------------------------------------------------------


def trainer_has_a_device_and_callbacks(directory: Path) -> None:
    later, order = Skipped(), []

    class First(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, *rest: Any) -> None:
            order.append(type(self).__name__)

    class Second(First):
        pass

    class Add(pl.Callback):
        def setup(self, trainer: pl.Trainer, *rest: Any, **named: Any) -> None:
            assert internals.training_device(trainer) == torch.device("cpu")
            internals.add_callbacks(trainer, [Second(), later])

    fit(Add(), First())
    assert order == ["First", "Second"]
    assert len(later.seen) == 2 * BATCHES


def learning_rate_is_scaled_in_the_schedule_too(directory: Path) -> None:
    class Halve(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, *rest: Any) -> None:
            internals.scale_learning_rate(trainer, 0.5)
            assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05)

    trainer = fit(Halve())
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05 * 0.9 ** (2 * BATCHES))


def early_stopping_counts(directory: Path) -> None:
    stopping = EarlyStopping("loss", patience=3)
    trainer = fit(stopping, module=Model(iter([1.0, 2.0, 2.0, 2.0, 2.0])), max_epochs=3)
    assert internals.failed_validations(stopping) == 2
    trainer.save_checkpoint(directory / "some.ckpt")
    checkpoint = torch.load(directory / "some.ckpt", weights_only=True)
    assert internals.failed_validations_in(checkpoint, "EarlyStopping") == 2
    assert internals.failed_validations_in(checkpoint, "Another") == 0


def best_checkpoint_is_restored(directory: Path) -> None:
    def keeping() -> ModelCheckpoint:
        return ModelCheckpoint(directory / "best", "best", "loss", enable_version_counter=False)

    fit(keeping(), module=Model(iter([3.0, 4.0])))
    file = directory / "best" / "best.ckpt"
    written = torch.load(file, weights_only=True)
    restored = keeping()
    score = internals.best_score_in(written, restored)
    assert score == 3.0
    internals.restore_best(restored, file, score)
    assert restored.state_dict().items() >= {"kth_value": score, "best_model_path": str(file)}.items()
    fit(restored, module=Model(iter([3.5, 2.0])), max_epochs=1)
    assert torch.load(file, weights_only=True)["epoch"] == written["epoch"]  # 3.5 is no better
    assert flat(torch.load(file, weights_only=True)["state_dict"]) == flat(written["state_dict"])
    fit(restored, module=Model(iter([2.0])), max_epochs=1)
    assert internals.best_score_in(torch.load(file, weights_only=True), restored) == 2.0


def averaged_weights_are_found(directory: Path) -> None:
    averaging = WeightAveraging(avg_fn=lambda mean, weights, count: mean + 1)
    module = Model()
    start = module.weights.detach().clone()
    fit(averaging, module=module, max_epochs=1)
    model = internals.averaged_model(averaging)
    assert isinstance(model, torch.optim.swa_utils.AveragedModel)
    assert int(model.n_averaged) == BATCHES
    assert not torch.equal(module.weights, start)
    assert torch.equal(module.weights, model.module.weights)  # left in the module at the end


CONTRACTS = (
    quiet_steps_are_those_of_lightning,
    hooks_of_a_step_are_those_we_know,
    what_we_override_is_there,
    last_step_is_validated_whatever_the_epoch,
    places_are_known,
    validations_are_announced,
    minimum_length_can_be_dropped,
    trainer_has_a_device_and_callbacks,
    learning_rate_is_scaled_in_the_schedule_too,
    early_stopping_counts,
    best_checkpoint_is_restored,
    averaged_weights_are_found,
)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_contract(contract: Callable[[Path], None], tmp_path: Path) -> None:
    contract(tmp_path)


# --- a changed Lightning --------------------------------------------------------------------------------------------


def rename(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give an attribute, a property or a method another name for all code outside Lightning."""
    original = vars(owner).get(name)

    def is_lightning() -> bool:
        return str(sys._getframe(2).f_globals["__name__"]).startswith("pytorch_lightning.")

    def get(self: Any) -> Any:
        if not is_lightning():
            raise AttributeError(f"there is no {name}")
        return self.__dict__[f"new_{name}"] if original is None else original.__get__(self)

    def put(self: Any, value: Any) -> None:
        self.__dict__[f"new_{name}" if is_lightning() else f"old_{name}"] = value

    monkeypatch.setattr(owner, name, property(get, put), raising=False)


@pytest.mark.parametrize(
    ("owner", "name", "contract"),
    [
        (_TrainingEpochLoop, "_should_accumulate", quiet_steps_are_those_of_lightning),
        (_TrainingEpochLoop, "update_lr_schedulers", quiet_steps_are_those_of_lightning),
        (_TrainingEpochLoop, "automatic_optimization", quiet_steps_are_those_of_lightning),
        (_TrainingEpochLoop, "batch_idx", places_are_known),
        (_TrainingEpochLoop, "total_batch_idx", validations_are_announced),
        (_FitLoop, "epoch_progress", places_are_known),
        (pl.Trainer, "lr_scheduler_configs", learning_rate_is_scaled_in_the_schedule_too),
        (EarlyStopping, "wait_count", early_stopping_counts),
        (ModelCheckpoint, "best_k_models", best_checkpoint_is_restored),
        (ModelCheckpoint, "kth_value", best_checkpoint_is_restored),
        (WeightAveraging, "_average_model", averaged_weights_are_found),
    ],
)
def test_a_contract_fails_when_lightning_changes(
    owner: type, name: str, contract: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(owner, name, monkeypatch)
    with pytest.raises((AssertionError, AttributeError, TrainingError)):
        contract(tmp_path)


def test_a_method_that_is_no_longer_overridden_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_TrainingEpochLoop, "_should_check_val_fx")
    with pytest.raises(AssertionError):
        what_we_override_is_there(tmp_path)


def test_a_step_that_counts_otherwise_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = _TrainingEpochLoop.advance

    def advance(loop: _TrainingEpochLoop, fetcher: _DataFetcher) -> None:
        original(loop, fetcher)
        loop.batch_progress.total.completed += 1

    monkeypatch.setattr(_TrainingEpochLoop, "advance", advance)
    with pytest.raises(AssertionError):
        quiet_steps_are_those_of_lightning(tmp_path)


def test_a_hook_that_is_new_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = _BatchProgress.increment_started
    monkeypatch.setattr(pl.Callback, "on_new", lambda *rest: None, raising=False)
    callbacks: list[pl.Callback] = []
    setup = pl.Trainer.__init__
    monkeypatch.setattr(
        pl.Trainer, "__init__", lambda self, **given: callbacks.extend(given["callbacks"]) or setup(self, **given)
    )

    def increment(progress: _BatchProgress) -> None:
        original(progress)
        for callback in callbacks:
            callback.on_new()  # type: ignore[attr-defined]

    monkeypatch.setattr(_BatchProgress, "increment_started", increment)
    with pytest.raises(AssertionError):
        hooks_of_a_step_are_those_we_know(tmp_path)


def test_loops_that_are_not_known_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    monkeypatch.delattr(trainer, "fit_loop")
    with pytest.raises(
        TrainingError, match=r"pytorch-lightning [\d.]+: .*fit_loop.*; pip install 'pytorch-lightning>="
    ):
        internals.replace_epoch_loop(trainer, may_stop)


# --- what is left as it was -----------------------------------------------------------------------------------------


def test_lightning_is_quiet_for_as_long_as_it_trains() -> None:
    logger = logging.getLogger("pytorch_lightning")
    filters, level = deepcopy(warnings.filters), logger.level
    with internals.quiet_lightning():
        assert logger.getEffectiveLevel() == logging.WARNING
        assert warnings.filters != filters
    assert (warnings.filters, logger.level) == (filters, level)


# --- one file alone -------------------------------------------------------------------------------------------------

DOCUMENTED = {
    "pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.loggers", "pytorch_lightning.loggers.logger",
    "pytorch_lightning.plugins.io", "pytorch_lightning.profilers", "pytorch_lightning.strategies",
    "lightning_fabric.plugins.environments.lightning",
}  # fmt: skip
PRIVATE = {
    "fit_loop", "epoch_loop", "batch_progress", "epoch_progress", "batch_idx", "total_batch_idx", "wait_count",
    "best_k_models", "kth_value", "lr_scheduler_configs", "root_device", "val_check_batch", "precision_plugin",
    "_logger_connector", "_results", "_average_model", "_should_check_val_fx",
}  # fmt: skip
SOURCE = Path(textloom.__file__).parent
OTHER_FILES = sorted(file for file in SOURCE.rglob("*.py") if file.name != "lightning_internals.py")


def undocumented_uses(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("pytorch_lightning", "lightning_fabric")
        ):
            private = node.module not in DOCUMENTED or any(name.name.startswith("_") for name in node.names)
            found += [f"from {node.module} import ..."] * private
        elif (isinstance(node, ast.Attribute) and node.attr in PRIVATE) or (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name | ast.Attribute)
            and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) in ("trainer", "strategy")
            and node.attr.startswith("_")
        ):
            found.append(node.attr)
        elif isinstance(node, ast.Constant) and node.value in PRIVATE:
            found.append(str(node.value))
    return found


def test_no_other_file_uses_what_lightning_does_not_document() -> None:
    assert len(OTHER_FILES) > 100
    assert {str(file): found for file in OTHER_FILES if (found := undocumented_uses(file))} == {}


def test_a_use_of_what_lightning_does_not_document_is_found(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("from pytorch_lightning.loops.fetchers import _DataFetcher\nself.trainer._results\nx.fit_loop\n")
    assert undocumented_uses(file) == ["from pytorch_lightning.loops.fetchers import ...", "_results", "fit_loop"]
