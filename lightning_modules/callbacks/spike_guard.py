from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.telemetry import logs_at, write_scalars
from lightning_modules.module import DiffusionModule
from lightning_modules.run.accidents import RollBackError
from lightning_modules.utils.ranges import at_least, check_ranges

logger = logging.getLogger(__name__)


@dataclass
class Spread:
    """Exponentially weighted mean and variance of the logarithm of something positive.

    Attributes:
        count: Values seen.
        mean: Mean of their natural logarithms.
        variance: Variance of these.
    """

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float, memory: int) -> None:
        """Take a value in. Over the first `memory` values all count alike, later ones fade (West 1979)."""
        self.count += 1
        share = 1 / min(self.count, memory)
        difference = math.log(max(value, 1e-30)) - self.mean
        self.mean += share * difference
        self.variance = (1 - share) * (self.variance + share * difference**2)

    def deviations(self, value: float) -> float:
        """Return how many standard deviations a value lies above the mean."""
        return (math.log(max(value, 1e-30)) - self.mean) / math.sqrt(max(self.variance, 1e-4))


class SpikeGuard(StepCallback):
    """Leave out steps that would do harm, and go back where harm was done.

    * A step whose loss or gradient is not finite, or whose gradient's norm is an outlier, is not taken: the
      weights stay, the step counts.
    * A loss that is an outlier was computed by weights that are bad already. That, and `patience` steps in a
      row not taken, ask for the last whole checkpoint, behind which the offending data are left out.

    Outliers are measured by the spread of the logarithm over the last `memory` steps, in which loss and norm
    are about normal. A gradient scaler looks for its scale by steps that overflow: it leaves them out by
    itself, and they do not count here as long as the scale can still fall.

    Lightning's own callback `SpikeDetection` looks at the loss alone, after the step was taken: the weights
    are changed by then. It compares a micro-batch with three times the mean of the last ten, and ends
    training with an exception and a list of batches to leave out, which nothing reads. Its state does not
    load in Lightning 2.6. `detect_anomaly` finds the operation that made a NaN, and ends training too.

    Args:
        deviations: Standard deviations above the mean that make an outlier; 0 looks for none.
        patience: Steps in a row not taken that ask to go back.
        max_roll_backs: Times to go back in a run before giving up.
        memory: Steps that the spread is measured over, and that pass before anything is an outlier.
    """

    def __init__(
        self, deviations: float = 8.0, patience: int = 5, max_roll_backs: int = 3, memory: int = 100
    ) -> None:
        check_ranges(
            at_least("spike_guard.deviations", deviations, 0),
            at_least("spike_guard.patience", patience, 1),
            at_least("spike_guard.max_roll_backs", max_roll_backs, 0),
            at_least("spike_guard.memory", memory, 2),
        )
        self.deviations, self.patience = deviations, patience
        self.max_roll_backs, self.memory = max_roll_backs, memory
        self.skipped = 0
        self._in_a_row = 0
        self._norm, self._loss = Spread(), Spread()
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the counts and the spreads."""
        spreads = {"norm": asdict(self._norm), "loss": asdict(self._loss)}
        return {"skipped": self.skipped, "in_a_row": self._in_a_row, **spreads}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        self.skipped, self._in_a_row = state_dict["skipped"], state_dict["in_a_row"]
        self._norm, self._loss = Spread(**state_dict["norm"]), Spread(**state_dict["loss"])

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Keep the micro-batch's loss."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Judge the step by its loss and its gradient, unscaled and before clipping.

        Raises:
            RollBackError: If it asks to go back.
        """
        loss, norm, scale = self._measure(trainer, pl_module)
        self._losses.clear()
        reason, damaged = self._judge(loss, norm)
        if reason is None:
            self._norm.add(norm, self.memory)
            self._loss.add(loss, self.memory)
            self._in_a_row = 0
            return
        for parameter in pl_module.parameters():
            parameter.grad = None
        if scale > 1 and math.isfinite(loss) and not math.isfinite(norm):
            return
        self.skipped += 1
        self._in_a_row += 1
        step = trainer.global_step
        if damaged:
            raise RollBackError(step, reason)
        if self._in_a_row >= self.patience:
            row = f"{self._in_a_row} steps in a row were not taken"
            raise RollBackError(step, f"{row}, the last since {reason}")
        logger.warning("Step %d is not taken: %s.", step, reason)

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Log how many steps were not taken, once there is one."""
        if self.skipped and logs_at(trainer, step):
            write_scalars(trainer, {"skipped_steps": float(self.skipped)})

    def _measure(self, trainer: Trainer, module: LightningModule) -> tuple[float, float, float]:
        """Return the step's loss, the gradient's norm, and the gradient scaler's scale (1 without one)."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scale = float(scaler.get_scale()) if scaler is not None else 1.0
        loss = torch.stack(self._losses).sum().float()
        if trainer.world_size > 1:
            loss = trainer.strategy.reduce(loss, reduce_op="mean")
        norm = get_total_norm(gradients).to(loss)
        both = torch.stack([loss, norm]).tolist()  # one wait for the device
        return both[0] / scale, both[1], scale

    def _judge(self, loss: float, norm: float) -> tuple[str | None, bool]:
        """Return what is wrong with a step, if anything, and whether the weights are damaged already."""
        if not math.isfinite(loss):
            return f"the loss is {loss}", False
        if not math.isfinite(norm):
            return f"the gradient's norm is {norm}", False
        if not self.deviations or self._loss.count < self.memory:
            return None, False
        for what, value, spread in (("loss", loss, self._loss), ("gradient's norm", norm, self._norm)):
            far = spread.deviations(value)
            if far > self.deviations:
                usual = math.exp(spread.mean)
                return (
                    f"the {what} is {value:.3g}, {far:.0f} standard deviations above its usual {usual:.3g}",
                    what == "loss",
                )
        return None, False
