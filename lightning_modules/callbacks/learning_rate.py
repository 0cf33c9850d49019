from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.telemetry import logs_at
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.lightning_internals import is_fast_dev_run

logger = logging.getLogger(__name__)


class Phases(NamedTuple):
    """How a run's steps are divided.

    Attributes:
        warm_up: Steps over which the rate rises.
        cool_down: Steps over which it falls.
        start: The step from which it falls; None if it does not.
    """

    warm_up: int
    cool_down: int
    start: int | None


class LearningRate(StepCallback):
    """Warm up, hold, cool down: the learning rate as a pure function of the step.

    Each phase is a length in steps, so raising `max_steps` before the cooldown changes no step already
    taken, and resuming never rescales the past. The cooldown falls as `1 - sqrt(progress)` (Haegele et al.
    2024, arXiv 2405.18392). Every parameter group is scaled by the same factor.

    Where warm-up and cooldown together are longer than the run, both are shortened in proportion. They have
    their own lengths again as soon as the run is long enough: whoever raises `max_steps` of such a run goes
    on with the schedule of the longer one, and is told that its past steps were taken with another.

    Args:
        warm_up: Steps over which the rate rises linearly from 0 to its peak.
        cool_down: Steps over which it falls at the end; 0 holds the peak to the end.
        cool_down_start: Step at which the cooldown begins; None begins it `cool_down` steps before
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
        self._shortened_to: tuple[int, int] | None = None

    def factor(self, step: int, max_steps: int) -> float:
        """Return the share of the peak rate at a step.

        Args:
            step: Number of optimizer steps already taken.
            max_steps: Target of the run, which only sets where the cooldown begins if nothing else does.
        """
        phases = self.phases(max_steps)
        if phases.start is not None and step >= phases.start:
            progress = min(1.0, (step - phases.start + 1) / phases.cool_down)
            return self.floor + (1 - self.floor) * (1 - math.sqrt(progress))
        return min(1.0, (step + 1) / phases.warm_up) if phases.warm_up else 1.0

    def phases(self, max_steps: int) -> Phases:
        """Return the lengths of the phases in a run of so many steps, which the settings fit into or not."""
        warm_up, cool_down = self.warm_up, self.cool_down
        if not cool_down or self.cool_down_start is not None or max_steps <= 0:
            return Phases(warm_up, cool_down, self.cool_down_start if cool_down else None)
        if warm_up + cool_down > max_steps:
            rising = round(max_steps * warm_up / (warm_up + cool_down))
            warm_up = max(rising, 1) if warm_up else 0
            cool_down = max_steps - max(warm_up, 1)  # the first step is not taken at the floor
        return Phases(warm_up, cool_down, max_steps - cool_down if cool_down else None)

    def shortened(self, max_steps: int) -> str | None:
        """Return a sentence on lengths that do not fit into a run and are shortened, or none if they fit."""
        phases = self.phases(max_steps)
        if (phases.warm_up, phases.cool_down) == (self.warm_up, self.cool_down):
            return None
        return (
            f"A warm-up of {self.warm_up} and a cooldown of {self.cool_down} steps do not fit into "
            f"{max_steps}: they take {phases.warm_up} and {phases.cool_down} (--learning_rate.warm_up, "
            f".cool_down)."
        )

    def check(self, max_steps: int) -> None:
        """Refuse a cooldown whose place in the run is unknown or was put into the warm-up.

        Raises:
            ValueError: With what to change.
        """
        if self.cool_down and self.cool_down_start is None and max_steps <= 0:
            raise ValueError(
                "--learning_rate.cool_down needs --trainer.max_steps or --learning_rate.cool_down_start."
            )
        if self.cool_down and self.cool_down_start is not None and self.cool_down_start < self.warm_up:
            raise ValueError(
                f"--learning_rate.cool_down_start {self.cool_down_start} lies within the warm-up of "
                f"{self.warm_up} steps. Raise one or shorten the other."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the step that the rate has been falling from, and lengths that were shortened, if so."""
        lengths = None if self._shortened_to is None else list(self._shortened_to)
        state = {"fell_from": self._fell_from, "shortened_to": lengths}
        return {name: value for name, value in state.items() if value is not None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them up again."""
        self._fell_from = state_dict.get("fell_from")
        lengths = state_dict.get("shortened_to")
        self._shortened_to = None if lengths is None else (lengths[0], lengths[1])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the schedule against the run's length; a `fast_dev_run` of one step has no cooldown."""
        if is_fast_dev_run(trainer):
            self.cool_down = 0
        self.check(trainer.max_steps)
        if said := self.shortened(trainer.max_steps):
            rank_zero_info(said)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember each group's peak; it travels with the optimizer's state from then on."""
        for group in trainer.optimizers[0].param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._warn_of_another_past(trainer.global_step, trainer.max_steps)

    def on_step_start(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Set the step's rate."""
        max_steps = trainer.max_steps
        factor = self.factor(step, max_steps)
        groups = trainer.optimizers[0].param_groups
        for group in groups:
            group["lr"] = group["initial_lr"] * factor
        if logs_at(trainer, step + 1):
            module.log("learning_rate", groups[0]["lr"], batch_size=1)
        phases = self.phases(max_steps)
        start = phases.start
        self._fell_from = start if start is not None and step >= start else None
        lengths = (phases.warm_up, phases.cool_down)
        self._shortened_to = lengths if lengths != (self.warm_up, self.cool_down) else None
        if start is not None and step == start + phases.cool_down - 1 and step + 1 < max_steps:
            logger.warning("The learning rate is at its floor (%g) from step %d on.", groups[0]["lr"], step)

    def _warn_of_another_past(self, step: int, max_steps: int) -> None:
        """Say so where a resumed run was warmed up or cooled down for another length than it has now."""
        phases = self.phases(max_steps)
        past, lengths = self._shortened_to or (self.warm_up, self.cool_down), phases[:2]
        if not step or (past == lengths and self._fell_from in (None, phases.start)):
            return
        taken = f"before {step} were taken with a warm-up of {past[0]} and a cooldown of {past[1]} steps"
        if self._fell_from is not None:
            taken = f"from {self._fell_from} to {step - 1} were taken at a falling learning rate"
        logger.warning(
            "The steps %s, for another length of the run. The rate goes on at %.0f %% of its peak and %s. "
            "The weights will not be those of a run that had this length from the start.",
            taken,
            100 * self.factor(step, max_steps),
            "does not fall" if phases.start is None else f"falls from step {phases.start} on",
        )
