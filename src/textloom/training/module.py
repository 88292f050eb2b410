"""The LightningModule: the training step, the validation, and the recurrent state between batches."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim.lr_scheduler import ReduceLROnPlateau

from textloom.batching.batch import Batch
from textloom.config import OptimizerConfig, ScheduleConfig
from textloom.data.encoding import TokenSplit
from textloom.errors import TrainingError
from textloom.evaluation.evaluate import Tally
from textloom.evaluation.score import Score
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State, detach
from textloom.training.lightning_internals import scale_learning_rate
from textloom.training.meter import Meter
from textloom.training.objective import Objective
from textloom.training.optimizers import build_optimizer
from textloom.training.regularization import ActivationPenalty
from textloom.training.schedules import build_schedule
from textloom.training.step_length import StepLength

NO_PENALTY = ActivationPenalty()


class TrainingModule(pl.LightningModule):
    """Trains a model on batches; holds the state that a stream carries from batch to batch."""

    score: Score

    def __init__(
        self,
        model: RecurrentLanguageModel,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        total_steps: int,
        validation: TokenSplit,
        meter: Meter,
        learning_rate_scale: float = 1.0,
        penalty: ActivationPenalty = NO_PENALTY,
        objective: Objective | None = None,
    ):
        super().__init__()
        self.model = model
        self.optimizer_config = optimizer
        self.schedule_config = schedule
        self.total_steps = total_steps
        self.validation = validation
        self.meter = meter
        self.learning_rate_scale = learning_rate_scale  # rollbacks halve it
        self.saved_scale = 1.0
        self.penalty = penalty
        self.objective = objective or Objective()
        self.step_length = StepLength()
        self.state: State | None = None
        self.tally = Tally()
        self.validation_losses: list[tuple[int, float]] = []  # (step, loss) of the validations in this process
        self.plateau_state: dict[str, Any] | None = None

    def configure_optimizers(self) -> Any:
        """The optimizer, and its schedule if one changes the learning rate at every step or epoch."""
        self.trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        fused = self.trainer.precision != "16-mixed"  # a fused step undoes the loss scaling after the clipping
        optimizer = build_optimizer(self.optimizer_config, self.model, fused)
        optimizer.register_step_post_hook(self.step_length.restore)
        schedule = build_schedule(self.schedule_config, optimizer, self.total_steps)
        self.plateau = schedule if isinstance(schedule, ReduceLROnPlateau) else None
        if schedule is None or self.plateau is not None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": self.schedule_config.interval},
        }

    # --- training ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """The loss of the batch, and the penalty, which no curve shows.

        The final state of the batch, detached, is the initial state of the next one.
        """
        self.meter.start()
        self.step_length.add(batch)
        rows = self.objective.rows(batch)
        hidden, state = self.model.last_layer(rows.inputs, None if batch.starts else self.state)
        self.state = detach(state)
        dropped = rows.states_with_targets(self.model.output_dropout(hidden))  # (targets, units)
        loss: torch.Tensor
        loss, nats = self.objective(self.model.softmax, dropped, rows.targets)
        self.meter.add(self.global_step, nats, len(batch.targets))
        return loss + self.penalty.of(rows, hidden, dropped) if self.penalty else loss

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Limit the norm of the gradient, or each of its values if the algorithm is ``value``.

        Lightning's own clipping refuses fused optimizers in every mixed precision, bf16 included. It is called right
        before each update of the weights, which is also the moment to scale the learning rate of one step.
        """
        self.step_length.scale(optimizer)
        for parameter in self.trained:
            if parameter.grad is None:  # no target lay in one of an adaptive softmax's clusters
                parameter.grad = torch.zeros_like(parameter)
        norm = get_total_norm([parameter.grad for parameter in self.trained if parameter.grad is not None])
        self.meter.add_gradient_norm(norm)
        if gradient_clip_val is not None and gradient_clip_algorithm == "value":
            clip_grad_value_(self.trained, gradient_clip_val)
            return
        # on a GPU the comparison would force a synchronization; there the factor is 1 if the norm is small
        if gradient_clip_val is not None and (norm.device.type != "cpu" or not norm <= gradient_clip_val):
            clip_grads_with_norm_(self.trained, gradient_clip_val, norm)

    # --- validation -------------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        self.tally = Tally()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add the batch to the sums; the state of the training stays as it is."""
        self.tally.add(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        self.score = self.tally.score(self.validation)
        if not abs(self.score.loss) < float("inf"):
            raise TrainingError(
                f"the validation loss is {self.score.loss} at step {self.global_step}; lower optimizer.learning_rate. "
                "The checkpoints written before it are good"
            )
        self.validation_losses.append((self.global_step, self.score.loss))
        self.log_dict(self.score.named("val"), logger=False)  # for callbacks that monitor it
        if self.plateau is not None:
            self.plateau.step(self.score.loss)

    # --- checkpoints: state that Lightning does not save, in plain types ----------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["recurrent_state"] = None if self.state is None else list(self.state)
        checkpoint["rate"] = self.learning_rate_scale
        checkpoint["plateau"] = None if self.plateau is None else self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["recurrent_state"]
        self.state = None if state is None else tuple(state)
        self.plateau_state = checkpoint["plateau"]
        self.saved_scale = checkpoint["rate"]
        self.learning_rate_scale = min(self.learning_rate_scale, self.saved_scale)

    def on_train_start(self) -> None:
        if self.state is not None:
            self.state = tuple(part.to(self.device) for part in self.state)
        if self.plateau is not None and self.plateau_state is not None:
            self.plateau.load_state_dict(self.plateau_state)
        if self.learning_rate_scale != self.saved_scale:
            scale_learning_rate(self.trainer, self.learning_rate_scale / self.saved_scale)
