"""Lightning's side of the clock: the time from the first training step to the last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from machine import write


class StepClock(Callback):
    """Note steps and seconds, and stop when the time is over.

    Args:
        out: JSON file for `steps` (of the run), `taken` (of this process), `images`, `seconds`,
            `seconds_after_first` and a `curve`.
        seconds: Stop after the step that reaches this time; 0 leaves the end to the Trainer.
        at_least: Steps to take in any case.
    """

    def __init__(self, out: str, seconds: float = 0.0, at_least: int = 0) -> None:
        self.out, self.seconds, self.at_least = out, seconds, at_least
        self.started: float | None = None
        self.first = self.now = 0.0
        self.taken = self.images = 0
        self.curve: list[dict[str, float]] = []

    def on_train_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        """Start the clock at the first step."""
        if self.started is None:
            self.started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Read the clock, and stop when it is time."""
        assert self.started is not None
        self.now = time.perf_counter() - self.started
        self.images += len(batch[0])
        self.taken += 1
        if self.taken == 1:
            self.first = self.now
        if not self.curve or self.now > self.curve[-1]["seconds"] + max(1.0, self.seconds / 50):
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            self.curve.append({"seconds": self.now, "step": trainer.global_step, "loss": float(loss)})
        if self.seconds and self.now >= self.seconds and self.taken >= self.at_least:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything down."""
        facts = {
            "steps": trainer.global_step,
            "taken": self.taken,
            "images": self.images,
            "seconds": self.now,
            "seconds_after_first": self.now - self.first,
            "curve": self.curve,
        }
        write(facts, Path(self.out))
