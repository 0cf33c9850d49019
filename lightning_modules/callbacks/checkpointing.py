from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_modules.base import DiffusionModule


class StepCheckpoint(ModelCheckpoint):
    """Keep the newest checkpoints in the run's `checkpoints/`, as `step=00012000.ckpt` and `last.ckpt`.

    Args:
        every_n_steps: Optimiser steps between checkpoints; one more is written at the end. 0 writes none.
        keep_last: Number of newest checkpoints to keep.
    """

    def __init__(self, every_n_steps: int = 500, keep_last: int = 2) -> None:
        super().__init__(
            filename="step={step:08.0f}",
            auto_insert_metric_name=False,
            monitor="step",
            mode="max",
            save_top_k=keep_last,
            save_last="link",
            every_n_train_steps=every_n_steps,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: DiffusionModule,  # type: ignore[override]
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save when a step that is due has ended, not between a step's micro-batches."""
        if pl_module.ends_step(batch_idx):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of training, which is one endless epoch, unless the last step just did."""
        if self._every_n_train_steps and not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the epoch's end has saved, and Lightning's hook would write in a `fast_dev_run` too."""
