"""What the callbacks have in common: they count optimizer steps, and know what they are attached to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_modules.module import DiffusionModule


def diffusion_module(module: LightningModule) -> DiffusionModule:
    """Return the module of a hook as what it is here; Lightning's signatures know the base class only."""
    return cast(DiffusionModule, module)


class StepCallback(Callback):
    """A callback whose hooks count optimizer steps. Lightning's come with every micro-batch.

    A step has `accumulate_grad_batches` micro-batches. `on_step_start` comes before the first one's
    `on_micro_batch_start`, and `on_step_end` after the last one's `on_micro_batch_end`. A subclass overrides
    what it needs of these four; `on_train_batch_start` and `on_train_batch_end` call them.
    """

    def on_step_start(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Act before a step, when `step` steps have been taken."""

    def on_micro_batch_start(
        self, trainer: Trainer, module: DiffusionModule, batch: tuple[Tensor, ...], batch_idx: int
    ) -> None:
        """Act before a micro-batch: images (B, C, H, W), labels (B,) and, if varied, how."""

    def on_micro_batch_end(
        self,
        trainer: Trainer,
        module: DiffusionModule,
        batch: tuple[Tensor, ...],
        outputs: Mapping[str, Tensor],
    ) -> None:
        """Act after a micro-batch, with what `training_step` returned."""

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Act after a step, when `step` steps have been taken."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Call the hooks of a micro-batch and, before the first one of a step, of the step."""
        module = diffusion_module(pl_module)
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self.on_step_start(trainer, module, trainer.global_step)
        self.on_micro_batch_start(trainer, module, batch, batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Call the hooks of a micro-batch and, after the last one of a step, of the step."""
        module = diffusion_module(pl_module)
        self.on_micro_batch_end(trainer, module, batch, outputs)
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.on_step_end(trainer, module, trainer.global_step)
