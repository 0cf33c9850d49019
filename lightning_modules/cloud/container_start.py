from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from datamodules.cache.cache import default_cache_dir
from datamodules.image_folder import ImageFolderDataModule
from datamodules.utils.text import counted
from lightning_modules.callbacks.base import StepCallback, diffusion_module
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.callbacks.telemetry import write_scalars
from lightning_modules.cloud.preflight import Preflight, process_age
from lightning_modules.module import DiffusionModule
from lightning_modules.run.journal import Journal
from lightning_modules.utils.lightning_internals import data_module


class ContainerStart(StepCallback):
    """Finish the preflight when everything is in place, and tell it before the first training step.

    What was found goes out as one readable block, as a line of the run's `telemetry.jsonl`, and as scalars.
    Once per process.

    Args:
        preflight: The checks so far.
        data_found: Called once when the data set is open.
    """

    def __init__(self, preflight: Preflight, data_found: Callable[[], None]) -> None:
        self.first_step_seconds: float | None = None
        self._preflight, self._data_found = preflight, data_found
        self._told = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the data, the first batch and the checkpoint, and tell everything.

        Raises:
            PreflightError: If the first batch cannot be had, before a step is taken.
        """
        if self._told or not trainer.is_global_zero:
            return
        self._told = True
        data, module = data_module(trainer), diffusion_module(pl_module)
        self._preflight.run("data set", lambda: _data_set(data, module))
        self._data_found()
        self._preflight.run("first batch", lambda: _first_batch(data, trainer))
        self._preflight.run("checkpoint", lambda: _checkpoint(trainer))
        age = process_age()
        self._preflight.run("ready to train", lambda: (f"{age:.1f} s after the process began", {"age": age}))
        print(self._preflight.block("container start"), flush=True)
        self._record(trainer, "container_start", self._preflight.scalars())

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Note when the first step was done."""
        if self.first_step_seconds is None and trainer.is_global_zero:
            self.first_step_seconds = process_age()
            print(f"First training step done {self.first_step_seconds:.1f} s after the process began.")
            self._record(trainer, "first_step", {"preflight/first_step_age": self.first_step_seconds})

    @staticmethod
    def _record(trainer: Trainer, event: str, values: dict[str, float]) -> None:
        write_scalars(trainer, values)
        folder = run_folder(trainer)
        if folder is not None:
            Journal(folder).note(event, trainer.global_step, **values)


def _data_set(data: ImageFolderDataModule, module: DiffusionModule) -> tuple[str, dict[str, float]]:
    train, val = len(data.train_labels), len(data.val_labels)
    text = (
        f"{train:,} images to train on, {val:,} held out, {counted(data.class_names)}, "
        f"{module.image_size} px; "
        f"cache in {data.cache_dir or default_cache_dir()}"
    )
    figures = {"images": train, "val": val, "classes": data.num_classes}
    return text, {name: float(value) for name, value in figures.items()}


def _first_batch(data: ImageFolderDataModule, trainer: Trainer) -> tuple[str, dict[str, float]]:
    micro_batch = trainer.global_step * trainer.accumulate_grad_batches
    images, labels = data.train_dataloader().dataset[micro_batch]
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    return f"images {tuple(images.shape)}, {images.dtype}", {}


def _checkpoint(trainer: Trainer) -> tuple[str, dict[str, float]]:
    step = trainer.global_step
    path = trainer.ckpt_path
    found = "none: from the beginning" if path is None else f"{Path(path).name}: on from step {step}"
    return found, {"resumed_step": float(step)}
