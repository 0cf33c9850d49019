from __future__ import annotations

import logging
import os
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer

from datamodules.errors import printable
from lightning_modules.callbacks.base import StepCallback, diffusion_module
from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.module import DiffusionModule
from lightning_modules.run.accidents import RollBackError
from lightning_modules.run.journal import START, Journal, read_journal
from lightning_modules.run.lives import Ending, Life, told
from lightning_modules.run.signals import StopRequestedError
from lightning_modules.utils.lightning_internals import callback_of, data_module
from lightning_modules.utils.memory import is_out_of_memory

logger = logging.getLogger(__name__)

_LONGEST = 300  # characters of an error that are kept
_HOSTS = (("MODAL_TASK_ID", "Modal"), ("SLURM_JOB_ID", "SLURM"), ("KUBERNETES_SERVICE_HOST", "Kubernetes"))


class Lives(StepCallback):
    """Write the history of a run's lives into its `telemetry.jsonl`: begun, seen, ended by what.

    A process that is killed writes no end. The next one says so at its start, with the step that was
    reached and how many steps are taken again.

    Attributes:
        reason: Why a stop was asked for, where that is known better than by the signal that asks.
    """

    def __init__(self) -> None:
        self.reason: Ending | None = None
        self._journal: Journal | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that a life begins, and how the one before has ended."""
        folder = run_folder(trainer)
        if folder is None or not folder.is_dir():
            return
        step = trainer.global_step
        self._journal = Journal(folder)
        self._journal.start(
            step,
            **_before(told([*read_journal(folder), {"event": START, "time": 0.0, "step": step}])),
            **_facts(trainer, diffusion_module(pl_module)),
        )

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Leave a sign of life."""
        if self._journal is not None:
            self._journal.alive(step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that training has come to its end."""
        self._end(trainer, "finished", "")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note what ends this life."""
        self._end(trainer, *self._cause(trainer, exception))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the file, if nothing has told of an end."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _cause(self, trainer: Trainer, error: BaseException) -> tuple[Ending, str]:
        if isinstance(error, StopRequestedError):
            saving = callback_of(trainer, StepCheckpoint)
            received = saving.signals.received if saving is not None and saving.signals is not None else None
            # On several devices the signal may have come to another process.
            return self.reason or "signal", received.name if received is not None else ""
        if isinstance(error, RollBackError):
            return "rolled back", _line(str(error))
        if is_out_of_memory(error):
            return "memory", ""
        return "error", _line(f"{type(error).__name__}: {error}".removesuffix(": "))

    def _end(self, trainer: Trainer, end: Ending, detail: str) -> None:
        if self._journal is not None:
            self._journal.end(trainer.global_step, end, detail)
            self._journal = None


def _before(lives: list[Life]) -> dict[str, object]:
    """Return how the life before the last one has ended, and say so where it could not do so itself."""
    if len(lives) < 2:
        return {}
    life = lives[-2]
    if life.end == "killed":
        logger.info(
            "The process before was killed, or lost its power, at step %d; steps lost: %d.",
            life.reached,
            life.lost or 0,
        )
    return {"before": {"end": life.end, "reached": life.reached, "lost": life.lost}}


def _facts(trainer: Trainer, module: DiffusionModule) -> dict[str, object]:
    device, data = trainer.strategy.root_device, data_module(trainer)
    cuda = device.type == "cuda"
    checkpoint = trainer.ckpt_path
    return {
        "checkpoint": None if checkpoint is None else Path(checkpoint).name,
        "target": trainer.max_steps,
        "host": next((name for variable, name in _HOSTS if variable in os.environ), "local"),
        "process": os.getpid(),
        "processes": trainer.world_size,
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "threads": torch.get_num_threads(),
        "precision": str(trainer.precision),
        "torch": torch.__version__,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "images": len(data.train_labels),
        "val_images": len(data.val_labels),
        "images_per_step": data.batch_size
        * trainer.accumulate_grad_batches
        // data.split
        * trainer.world_size,
        "parts": data.split,
    }


def _line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
