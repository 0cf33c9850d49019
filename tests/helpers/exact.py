"""What the tests of exact resume share: a run with everything that has a state, and comparing its remains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.spike_guard import SpikeGuard
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.callbacks.telemetry import Telemetry
from lightning_modules.ema.callback import EMA
from lightning_modules.module import AdamWSettings
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import Memory, data, module, trainer

PURE = ("loss", "learning_rate", "gradient_norm", "images_seen", "loss/val")
"""Logged metrics that are functions of the step alone."""


def train(
    folder: Path,
    image_folder: Path,
    kind: str = "dit",
    start: int = 0,
    resume: Path | None = None,
    checkpoint: dict[str, Any] | None = None,
    images: dict[str, Any] | None = None,
    extra: tuple[Callback, ...] = (),
    schedule: LearningRate | None = None,
    split: int = 1,
    guard: SpikeGuard | None = None,
    first: tuple[Callback, ...] = (),
    **options: Any,
) -> tuple[Trainer, Memory]:
    """A run of seven steps with dropout, averages, schedule, guard, grids and checkpoints after every step.

    `start` seeds what a process starts with, which must not matter.
    """
    torch.manual_seed(start)
    model = module(kind, dropout=0.3, optimizer=AdamWSettings(3e-3))
    torch.manual_seed(start)
    saving = {"every_n_steps": 1, "keep_last": 99, "keep_best": 2, **(checkpoint or {})}
    callbacks = [
        *first,
        schedule or LearningRate(2, 2),
        EMA(0.8, lengths=(0.1,)),
        StepSeed(),
        guard or SpikeGuard(memory=3),
        LossByNoiseLevel(),
        Telemetry(),
        SampleGrid(2, rows=1, columns=2, sampling=Sampling("ancestral", steps=2)),
        StepCheckpoint(**saving),
        *extra,
    ]
    log = Memory()
    settings = {"max_steps": 7, "gradient_clip_val": 1.0, "val_check_interval": 2, "log_every_n_steps": 1}
    run = trainer(folder, callbacks, logger=log, **{**settings, **options})
    of_images = data(image_folder, **(images or {}))
    of_images.split = split
    run.fit(model, datamodule=of_images, ckpt_path=resume, weights_only=True)
    return run, log


def path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step={step:08d}.ckpt"


def load(folder: Path, step: int) -> dict[str, Any]:
    return torch.load(path(folder, step), weights_only=True)
