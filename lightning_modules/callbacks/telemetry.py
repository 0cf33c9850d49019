from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.utils.tensorboard.summary import image

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.logs.board import description
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.lightning_internals import callbacks_of, log_interval
from lightning_modules.utils.tensorboard_internals import add_summary


class Telemetry(StepCallback):
    """Log images per second, images seen, the share of time spent waiting for data, and the gradient norm.

    Lightning's `ThroughputMonitor` waits for the GPU after every batch and does not tell waiting for data
    from computing. This one only reads the clock and lets the GPU run ahead: over a logging interval the
    times agree. Validation, saving and what runs in `between_steps` count as neither.

    `throughput/data_wait_share` is the time from the end of one batch's work to the start of the next, over
    that time plus the work itself; Lightning's own bookkeeping is in it.
    """

    def __init__(self) -> None:
        self._images = 0
        self._images_in_step = 0
        self._waiting = 0.0
        self._computing = 0.0
        self._started = 0.0
        self._ended: float | None = None

    def on_micro_batch_start(
        self, trainer: Trainer, module: DiffusionModule, batch: object, batch_idx: int
    ) -> None:
        """Count the time since the last batch as waiting for this one."""
        self._started = time.perf_counter()
        if self._ended is not None:
            self._waiting += self._started - self._ended

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log the norm of the gradient before clipping."""
        if logs_at(trainer, trainer.global_step + 1):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            pl_module.log("gradient_norm", get_total_norm(gradients), batch_size=1)

    def on_micro_batch_end(
        self, trainer: Trainer, module: DiffusionModule, batch: tuple[Tensor, ...], outputs: object
    ) -> None:
        """Count the batch's work."""
        self._ended = time.perf_counter()
        self._images += len(batch[0]) * trainer.world_size
        self._images_in_step += len(batch[0]) * trainer.world_size
        self._computing += self._ended - self._started

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Log the rates when the trainer logs."""
        if logs_at(trainer, step):
            elapsed = self._waiting + self._computing
            rates = {"images_per_second": self._images / elapsed, "data_wait_share": self._waiting / elapsed}
            module.log_dict({f"throughput/{name}": rate for name, rate in rates.items()}, batch_size=1)
            module.log("images_seen", float(step * self._images_in_step), batch_size=1)
            self._images, self._waiting, self._computing = 0, 0.0, 0.0
        self._images_in_step = 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the time of a validation out."""
        self.leave_out()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leave the time of a save out."""
        self.leave_out()

    def leave_out(self) -> None:
        """Count the time since the last batch's end, or since this one's start, as neither."""
        self._ended = None
        self._started = time.perf_counter()


def logs_at(trainer: Trainer, step: int) -> bool:
    """Tell whether the trainer writes its logs when `step` optimizer steps have been taken."""
    return step % log_interval(trainer) == 0


def write_scalars(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Write scalars of the step that was just taken, once, and bring them to the disk.

    What goes through the module is written again at every later logging of the process, and then a resumed
    run's axis differs from an undisturbed one's. What is not on the disk before the step's checkpoint is
    lost with a kill, since nothing logs it again.
    """
    for run_logger in trainer.loggers if metrics else ():
        run_logger.log_metrics(dict(metrics), trainer.global_step - 1)
        run_logger.save()


def write_picture(trainer: Trainer, tag: str, picture: Tensor, step: int) -> None:
    """Write a picture to TensorBoard, and bring it to the disk.

    Args:
        trainer: Its loggers are written to.
        tag: What TensorBoard calls it.
        picture: uint8, (3, H, W).
        step: Steps taken.
    """
    for run_logger in trainer.loggers:
        if isinstance(run_logger, TensorBoardLogger):
            summary = image(tag, picture.numpy(), dataformats="CHW")
            summary.value[0].metadata.summary_description = description(tag)
            add_summary(run_logger.experiment, summary, step)
            run_logger.save()


@contextmanager
def between_steps(trainer: Trainer) -> Iterator[None]:
    """Leave the time of a block that runs in a training hook out of the run's throughput."""
    yield
    for callback in callbacks_of(trainer, Telemetry):
        callback.leave_out()
