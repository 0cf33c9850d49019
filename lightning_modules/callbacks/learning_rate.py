from __future__ import annotations

import logging
import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_modules.callbacks.telemetry import logs_at

logger = logging.getLogger(__name__)


class LearningRate(Callback):
    """Warm up, hold, cool down: the learning rate as a pure function of the step.

    Each phase is a length in steps, so raising `max_steps` before the cooldown changes no step already
    taken, and resuming never rescales the past. The cooldown falls as `1 - sqrt(progress)` (Haegele et al.
    2024, arXiv 2405.18392). Every parameter group is scaled by the same factor.

    Args:
        warm_up: Steps over which the rate rises linearly from 0 to its peak.
        cool_down: Steps over which it falls at the end; 0 holds the peak to the end.
        cool_down_start: Step at which the cooldown begins; none begins it `cool_down` steps before
            `max_steps`.
        floor: Share of the peak that the cooldown ends at and stays at.
    """

    def __init__(
        self, warm_up: int = 100, cool_down: int = 0, cool_down_start: int | None = None, floor: float = 0.0
    ) -> None:
        if warm_up < 0 or cool_down < 0 or (cool_down_start is not None and cool_down_start < 0):
            raise ValueError(
                f"learning_rate: lengths are in steps and not negative: warm_up {warm_up}, "
                f"cool_down {cool_down}, cool_down_start {cool_down_start}."
            )
        if not 0 <= floor <= 1:
            raise ValueError(f"learning_rate: floor is a share of the peak in [0, 1], not {floor}.")
        self.warm_up = warm_up
        self.cool_down = cool_down
        self.cool_down_start = cool_down_start
        self.floor = floor
        self._fell_from: int | None = None

    def factor(self, step: int, max_steps: int) -> float:
        """Return the share of the peak rate at a step.

        Args:
            step: Number of optimiser steps already taken.
            max_steps: Target of the run, which only sets where the cooldown begins if nothing else does.
        """
        start = self._cool_down_start(max_steps)
        if start is not None and step >= start:
            progress = min(1.0, (step - start + 1) / self.cool_down)
            return self.floor + (1 - self.floor) * (1 - math.sqrt(progress))
        return min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0

    def check(self, max_steps: int) -> None:
        """Refuse a cooldown whose place in the run is unknown or overlaps the warm-up.

        Raises:
            ValueError: With what to change.
        """
        start = self._cool_down_start(max_steps)
        if start is None and self.cool_down:
            raise ValueError("learning_rate: a cooldown needs trainer.max_steps or a cool_down_start.")
        if start is None or start >= self.warm_up:
            return
        if self.cool_down_start is None:
            raise ValueError(
                f"learning_rate: a warm-up of {self.warm_up} and a cooldown of {self.cool_down} steps do not "
                f"fit into {max_steps}. Shorten them with --learning_rate.warm_up and "
                f"--learning_rate.cool_down, or raise --trainer.max_steps."
            )
        raise ValueError(
            f"learning_rate: cool_down_start {start} lies within the warm-up of {self.warm_up} steps. Raise "
            f"one or shorten the other."
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the step that the rate has been falling from, once it is."""
        return {} if self._fell_from is None else {"fell_from": self._fell_from}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self._fell_from = state_dict["fell_from"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the schedule against the run's length; a `fast_dev_run` of one step has no cooldown."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.cool_down = 0
        self.check(trainer.max_steps)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember each group's peak; it travels with the optimiser's state from then on."""
        for group in trainer.optimizers[0].param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._warn_of_a_moved_cool_down(trainer.global_step, trainer.max_steps)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate of the step that the micro-batch belongs to."""
        step, max_steps = trainer.global_step, trainer.max_steps
        factor = self.factor(step, max_steps)
        groups = trainer.optimizers[0].param_groups
        for group in groups:
            group["lr"] = group["initial_lr"] * factor
        if logs_at(trainer, step + 1):
            pl_module.log("learning_rate", groups[0]["lr"], batch_size=1)
        start = self._cool_down_start(max_steps)
        self._fell_from = start if start is not None and step >= start else None
        if start is not None and step == start + self.cool_down - 1 and step + 1 < max_steps:
            logger.warning("The learning rate is at its floor (%g) from step %d on.", groups[0]["lr"], step)

    def _warn_of_a_moved_cool_down(self, step: int, max_steps: int) -> None:
        """Say so where a resumed run has taken steps of a cooldown that is now elsewhere."""
        start = self._cool_down_start(max_steps)
        if self._fell_from is None or self._fell_from == start:
            return
        logger.warning(
            "The steps from %d to %d were taken at a falling learning rate, for another length of the run. "
            "The rate goes on at %.0f %% of its peak and %s. The weights will not be those of a run that had "
            "this length from the start.",
            self._fell_from,
            step - 1,
            100 * self.factor(step, max_steps),
            "does not fall" if start is None else f"falls from step {start} on",
        )

    def _cool_down_start(self, max_steps: int) -> int | None:
        if not self.cool_down:
            return None
        if self.cool_down_start is not None:
            return self.cool_down_start
        return max_steps - self.cool_down if max_steps > 0 else None
