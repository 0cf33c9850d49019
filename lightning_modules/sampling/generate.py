"""Drawing a numbered set of images in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.images import to_uint8
from lightning_modules.sampling.settings import Sampling


class DrawnBatch(NamedTuple):
    """Some consecutive images of a set."""

    indices: range
    """Their numbers in the set."""

    labels: Tensor
    """Their labels, (B,) int64, on the CPU."""

    images: Tensor
    """The images, (B, 3, H, W), uint8, rounded, on the CPU."""

    broken: int = 0
    """How many images came out with values that are not finite, and so show nothing."""


def draw_images(
    module: DiffusionModule,
    settings: Sampling,
    labels: Sequence[int],
    seed: int = 0,
    batch_size: int = 64,
    start: int = 0,
    guide: DiffusionModule | None = None,
) -> Iterator[DrawnBatch]:
    """Draw images `start` to `len(labels) - 1` of a set, a batch at a time, with the module as it is.

    Image `i` depends on the seed, its label and `i` alone: up to the rounding of the network's arithmetic it
    is the same whatever the batch size and wherever drawing starts. Batches are cut from 0, so that drawing
    that starts at a batch's first image is the same bit for bit.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance.
        labels: A label for each image of the whole set, also of those before `start`.
        seed: Seed of the set.
        batch_size: Images at a time.
        start: Number of the first image that is wanted.
        guide: A weaker model to guide away from.

    Yields:
        The batches in order.
    """
    for indices in batch_ranges(len(labels), batch_size):
        if indices.stop > start:
            wanted = range(max(start, indices.start), indices.stop)
            yield draw_batch(module, settings, labels[wanted.start : wanted.stop], wanted, seed, guide)


def draw_batch(
    module: DiffusionModule,
    settings: Sampling,
    labels: Sequence[int],
    indices: range,
    seed: int = 0,
    guide: DiffusionModule | None = None,
) -> DrawnBatch:
    """Draw one batch of a set.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance.
        labels: The batch's labels.
        indices: The images' numbers in the set, as many.
        seed: Seed of the set.
        guide: A weaker model to guide away from.
    """
    wanted = torch.tensor(labels, dtype=torch.int64)
    images = module.sample(wanted, settings, seed, indices, None if guide is None else guide.eval())
    broken = len(images) - int(images.isfinite().flatten(1).all(1).sum())
    return DrawnBatch(indices, wanted, to_uint8(images), broken)


def check_finite(batch: DrawnBatch, settings: Sampling) -> None:
    """Refuse a batch with images that show nothing.

    Raises:
        ValueError: If there is one, with where it may come from.
    """
    if batch.broken:
        raise ValueError(
            f"{batch.broken} of {len(batch.indices)} images have values that are not finite: the weights "
            f"have diverged, or the settings are too strong for them (guidance {settings.guidance:g}, "
            f"{settings.sampler}, {settings.steps} steps). Take an earlier checkpoint, or less guidance"
        )


def batch_ranges(count: int, batch_size: int) -> list[range]:
    """Cut `count` images into batches, the last one with what is left."""
    return [range(first, min(first + batch_size, count)) for first in range(0, count, batch_size)]
