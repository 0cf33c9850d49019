from __future__ import annotations

import signal
import time
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.lives import Lives
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.callbacks.telemetry import logs_at
from lightning_modules.cost.cost import Ledger, duration
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.lightning_internals import callbacks_of

_MEASURED_AFTER = 20
"""Steps before the time of a step is believed: the first ones warm up."""


class Spending(StepCallback):
    """Keep a run's cost, and stop it at a checkpoint before it costs too much or its container must go.

    Stopping goes the way of a SIGTERM: the step is finished, a checkpoint saved.

    Args:
        ledger: What the run has cost.
        max_usd: The most that it may cost; None: no limit.
        handover: Seconds after the container's start at which it is to stop.
        reserve: Seconds that saving and committing may take, which are kept back from the budget.

    Attributes:
        stopped: Why the run was stopped: `budget`, `time`, or not at all.
        ran: Whether this container has trained.
        step: The last step that it has done; 0 before the first.
    """

    def __init__(self, ledger: Ledger, max_usd: float | None, handover: float, reserve: float = 30.0) -> None:
        self.stopped: Literal["budget", "time"] | None = None
        self.ran = False
        self.step = 0
        self._ledger, self._max_usd, self._handover, self._reserve = ledger, max_usd, handover, reserve
        self._first_step: int | None = None
        self._first_at = 0.0
        self._told = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up what earlier containers have cost."""
        self.ran = True
        folder = run_folder(trainer)
        if folder is not None:
            self._ledger.open(folder)

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Log the cost, measure the steps, and ask for a stop when it is time."""
        if not trainer.is_global_zero:
            return
        self.step = step
        if logs_at(trainer, step):
            module.log("cost/usd", self._ledger.usd, batch_size=1)
        self._measure(trainer, step)
        if self.stopped is None and step != trainer.max_steps:
            self._stop_in_time(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Write the cost next to the checkpoint."""
        folder = run_folder(trainer)
        if folder is not None:
            self._ledger.write(folder)

    def _measure(self, trainer: Trainer, step: int) -> None:
        if self._first_step is None:
            self._first_step, self._first_at = step, time.monotonic()
        taken = step - self._first_step
        if self._told or taken < _MEASURED_AFTER or trainer.max_steps < 0:
            return
        self._told = True
        per_step = (time.monotonic() - self._first_at) / taken
        left = (trainer.max_steps - step) * per_step
        rank_zero_info(
            "Measured: %.3f s per step. The %d steps left take %s and $%.2f; $%.2f in all.",
            per_step,
            trainer.max_steps - step,
            duration(left),
            left * self._ledger.rate,
            self._ledger.usd + left * self._ledger.rate,
        )

    def _stop_in_time(self, trainer: Trainer) -> None:
        kept_back = self._reserve * self._ledger.rate
        if self._max_usd is not None and self._ledger.usd + kept_back >= self._max_usd:
            self.stopped = "budget"
            rank_zero_info("The budget of $%.2f is used up: stopping at a checkpoint.", self._max_usd)
        elif time.time() - self._ledger.started >= self._handover:
            self.stopped = "time"
            rank_zero_info("This container's time is up: another one goes on from a checkpoint.")
        if self.stopped is not None:
            for lives in callbacks_of(trainer, Lives):
                lives.reason = self.stopped
            signal.raise_signal(signal.SIGTERM)
