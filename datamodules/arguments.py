"""Ranges of what a data module can be asked for."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

from datamodules.batches.finishing import Residence
from datamodules.decode.decode import Limits
from datamodules.errors import DataError


def check_arguments(
    *,
    image_size: int,
    batch_size: int,
    val_fraction: float,
    workers: int,
    max_rejected: float,
    background: tuple[int, int, int],
    seed: int,
    crop_limit: float,
    cache: bool,
    resident: Residence,
    limits: Limits,
) -> None:
    """Refuse what is out of range or does not go together; `ImageFolderDataModule` says what each means.

    Raises:
        DataError: With the argument, what it may be and what was given.
    """
    color = tuple(background)
    is_color = len(color) == 3 and all(0 <= value <= 255 for value in color)
    for allowed, message in (
        (image_size >= 1, f"image_size must be at least 1 pixel, not {image_size}"),
        (batch_size >= 1, f"batch_size must be at least 1 image, not {batch_size}"),
        (0.0 <= val_fraction < 1.0, f"val_fraction is at least 0 and below 1, not {val_fraction}"),
        (workers >= 0, f"workers must be 0 or more, not {workers}"),
        (0.0 <= max_rejected <= 1.0, f"max_rejected is a share, 0 to 1, not {max_rejected}"),
        (is_color, f"background must be three values of 0 to 255 (red, green, blue), not {color}"),
        (seed >= 0, f"seed must not be negative, not {seed}"),
        (0.0 < crop_limit <= 1.0, f"crop_limit is a share, above 0 and at most 1, not {crop_limit}"),
        (limits.max_pixels >= 1, f"limits.max_pixels must be at least 1, not {limits.max_pixels}"),
        (limits.min_side >= 0, f"limits.min_side must not be negative, not {limits.min_side}"),
        (limits.max_aspect >= 1.0, f"limits.max_aspect must be at least 1, not {limits.max_aspect}"),
        (limits.max_metadata >= 0, f"limits.max_metadata must not be negative, not {limits.max_metadata}"),
        (cache or resident in ("auto", "disk"), f"resident={resident} needs the cache, which is off"),
    ):
        if not allowed:
            raise DataError(message)


def check_trainer(trainer: Trainer, images: int, batch_size: int) -> None:
    """Refuse what has no meaning for an endless stream of batches.

    Raises:
        DataError: There are neither steps nor a time nor a number of batches to end at, so that the first
            epoch would never end; or some batches are to be repeated.
    """
    undeclared: Any = trainer  # Lightning sets some attributes without declaring them
    if undeclared.overfit_batches:
        raise DataError(
            "overfit_batches repeats batches, and the batches of this data module never repeat: put a few "
            "images into a folder of their own and train on that"
        )
    timed = any(isinstance(callback, Timer) for callback in undeclared.callbacks)
    if trainer.max_steps >= 0 or trainer.max_epochs in (None, -1, 0) or timed:
        return
    if isinstance(trainer.limit_train_batches, int):
        return
    steps = math.ceil(images / (batch_size * trainer.world_size * trainer.accumulate_grad_batches))
    raise DataError(
        "this training would never end: to the Trainer all of it is one epoch, so that max_epochs does not "
        f"count. Say how long with Trainer(max_steps=...) or max_time; {steps:,} steps go once through the "
        f"{images:,} training images, and max_epochs={trainer.max_epochs} would be max_steps="
        f"{trainer.max_epochs * steps}"
    )
