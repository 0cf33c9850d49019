from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from lightning_modules.ranges import at_least, check_ranges


class StepProgressBar(TQDMProgressBar):
    """Lightning's bar over the whole run, with the time left, the loss and images per second.

    Args:
        refresh_rate: Micro-batches between updates; 0 shows no bar.
    """

    def __init__(self, refresh_rate: int = 5) -> None:
        check_ranges(at_least("progress_bar.refresh_rate", refresh_rate, 0))
        super().__init__(refresh_rate=refresh_rate)

    @property
    def total_train_batches(self) -> int | float:
        """Micro-batches of the run: the loader is endless, `max_steps` is what ends it."""
        trainer = self.trainer
        if trainer.max_steps < 0:
            return super().total_train_batches
        return trainer.max_steps * trainer.accumulate_grad_batches

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Start the bar where the run is: a resumed one does not come by the start of its epoch."""
        super().on_train_start(trainer, *_)
        self._lay_out(trainer.global_step * trainer.accumulate_grad_batches)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Name the bar: the run is one endless epoch."""
        super().on_train_epoch_start(trainer)
        self._lay_out(0)

    def _lay_out(self, done: int) -> None:
        bar, total = self.train_progress_bar, self.total_train_batches
        bar.reset(total if total < float("inf") else None)
        bar.initial = bar.n = done  # the rate is of what this process does
        bar.set_description("Training")

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands behind the bar.

        The loss comes from here, and not through `prog_bar`, which waits for the device at every step.
        """
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        loss = trainer.callback_metrics.get("loss")
        if loss is not None:
            metrics["loss"] = float(loss)
        rate = trainer.callback_metrics.get("throughput/images_per_second")
        if rate is not None:
            metrics["images/s"] = f"{rate:.0f}"
        return metrics
