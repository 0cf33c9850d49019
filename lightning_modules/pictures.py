"""Pictures that show what a model does: its classes, what lies between images, how one comes about."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_modules.base import DiffusionModule
from lightning_modules.diffusion.preconditioning import Denoiser
from lightning_modules.drawing import batch_ranges
from lightning_modules.image_noise import ImageNoise, InterpolatedNoise
from lightning_modules.images import image_grid, to_uint8
from lightning_modules.sampling import Sampling

_MAX_COLUMNS = 20
"""With more classes than this a column for each would not be seen any more."""


def class_grid(
    module: DiffusionModule,
    settings: Sampling,
    seed: int = 0,
    rows: int = 4,
    guide: DiffusionModule | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Draw every class from the same noise: a column is a class, a row a stream of noise.

    More classes than fit into a row are drawn once each, in their order, as many in a row as there are rows.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance.
        seed: Seed of the noise.
        rows: Images per class.
        guide: A weaker model to guide away from.
        batch_size: Images at a time.

    Returns:
        One image, uint8, (3, H', W').
    """
    columns = module.num_classes
    if columns > _MAX_COLUMNS:
        rows, columns = 1, math.ceil(math.sqrt(columns))
    drawn = [
        to_uint8(module.sample(torch.tensor(list(labels)), settings, seed, [row] * len(labels), guide))
        for row in range(rows)
        for labels in batch_ranges(module.num_classes, batch_size)
    ]
    return image_grid(torch.cat(drawn), columns)


def interpolation_grid(
    module: DiffusionModule,
    settings: Sampling,
    labels: list[int],
    seed: int = 0,
    columns: int = 8,
    guide: DiffusionModule | None = None,
) -> Tensor:
    """Draw from noise on the way between that of two images: row `r` leads from image `2 r` to `2 r + 1`.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance; a stochastic sampler's later draws are interpolated as well.
        labels: A label for each row.
        seed: Seed of the noise.
        columns: Images in a row, the two ends included.
        guide: A weaker model to guide away from.

    Returns:
        One image, uint8, (3, H', W').
    """
    shares = torch.linspace(0, 1, columns)
    drawn = []
    for row, label in enumerate(labels):
        start, end = (
            ImageNoise(seed, [index] * columns, module.image_shape, module.device)
            for index in (2 * row, 2 * row + 1)
        )
        noise = InterpolatedNoise(start, end, shares)
        wanted = torch.full((columns,), label)
        drawn.append(to_uint8(module.draw(wanted, settings, noise, guide)))
    return image_grid(torch.cat(drawn), columns)


def denoising_frames(
    module: DiffusionModule,
    settings: Sampling,
    labels: list[int],
    seed: int = 0,
    guide: DiffusionModule | None = None,
) -> list[Tensor]:
    """Draw the first images of a set and keep what was seen of them on the way.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance.
        labels: A label for each image.
        seed: Seed of the set.
        guide: A weaker model to guide away from.

    Returns:
        The model's estimate of the images at each evaluation, uint8, (B, 3, H, W) each. The last one is what
        the samplers return.
    """
    noise = ImageNoise(seed, range(len(labels)), module.image_shape, module.device)
    frames: list[Tensor] = []

    def watched(denoiser: Denoiser) -> Denoiser:
        def keeping(x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            denoised = denoiser(x, sigma, labels)
            frames.append(to_uint8(denoised))
            return denoised

        return keeping

    module.draw(torch.tensor(labels), settings, noise, guide, watched)
    return frames


def denoising_strip(frames: list[Tensor], columns: int = 10) -> Tensor:
    """Lay frames of `denoising_frames` out: a row is an image, from its first estimate to the image itself.

    Args:
        frames: uint8, (B, 3, H, W) each.
        columns: Frames shown, evenly chosen, the first and the last among them.

    Returns:
        One image, uint8, (3, H', W').
    """
    count = min(columns, len(frames))
    chosen = torch.linspace(0, len(frames) - 1, count).round().int().tolist()
    return image_grid(torch.stack([frames[i] for i in chosen], dim=1).flatten(0, 1), count)
