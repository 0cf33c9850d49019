"""Pictures that show what a model does: its classes, what lies between images, how one emerges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Condition, Denoiser
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.sheets import LaidOut, Sheet
from lightning_modules.sampling.generate import batch_ranges, sample, sample_from
from lightning_modules.sampling.image_noise import ImageNoise, InterpolatedNoise
from lightning_modules.sampling.settings import Sampling

_MAX_COLUMNS = 20
"""With more classes than this a column for each would not be seen any more."""


def class_grid(
    module: DiffusionModule,
    settings: Sampling,
    seed: int = 0,
    rows: int = 4,
    guide: DiffusionModule | None = None,
    batch_size: int = 64,
) -> LaidOut:
    """Sample every class from the same noise: a column is a class, a row a stream of noise.

    More classes than fit into a row are sampled once each, in their order, as many in a row as there are
    rows; their names stand below, as long as there is room for them.

    Args:
        module: The model.
        settings: Sampler, steps, guidance.
        seed: Seed of the noise.
        rows: Images per class.
        guide: A weaker model to guide away from.
        batch_size: Images at a time.

    Returns:
        The images, laid out.
    """
    every = module.conditioner.every()
    count = columns = len(every)
    names = module.conditioner.captions(every)
    sheet = Sheet(columns, column_names=names)
    if count > _MAX_COLUMNS:
        rows, columns = 1, math.ceil(math.sqrt(count))
        title = f"{count:,} classes in their order; at the left the first of each row"
        sheet = Sheet(columns, title, row_names=names[::columns], captions=names)
    images = [
        module.encoder.decode(
            sample(module, every[part.start : part.stop], settings, seed, [row] * len(part), guide)
        )
        for row in range(rows)
        for part in batch_ranges(count, batch_size)
    ]
    return LaidOut(sheet, torch.cat(images))


def interpolation_grid(
    module: DiffusionModule,
    settings: Sampling,
    condition: Condition,
    seed: int = 0,
    columns: int = 8,
    guide: DiffusionModule | None = None,
) -> LaidOut:
    """Sample from noise on the way between that of two images: row `r` leads from image `2 r` to `2 r + 1`.

    Args:
        module: The model.
        settings: Sampler, steps, guidance; a stochastic sampler's later noise is interpolated as well.
        condition: What is asked of each row's images.
        seed: Seed of the noise.
        columns: Images in a row, the two ends included.
        guide: A weaker model to guide away from.

    Returns:
        The images, laid out.
    """
    shares = torch.linspace(0, 1, columns)
    images = []
    for row in range(len(condition)):
        start, end = (
            ImageNoise(seed, [index] * columns, module.image_shape, module.device)
            for index in (2 * row, 2 * row + 1)
        )
        noise = InterpolatedNoise(start, end, shares)
        asked = condition[row : row + 1].repeated(columns)
        images.append(module.encoder.decode(sample_from(module, asked, settings, noise, guide)))
    sheet = Sheet(
        columns,
        "from one image's noise to another's",
        [f"{share:.0%}" for share in shares.tolist()],
        row_names=module.conditioner.captions(condition),
    )
    return LaidOut(sheet, torch.cat(images))


def denoising_frames(
    module: DiffusionModule,
    settings: Sampling,
    condition: Condition,
    seed: int = 0,
    guide: DiffusionModule | None = None,
) -> list[Tensor]:
    """Sample the first images of a set and keep what was seen of them on the way.

    Args:
        module: The model.
        settings: Sampler, steps, guidance.
        condition: What is asked of each image.
        seed: Seed of the set.
        guide: A weaker model to guide away from.

    Returns:
        The model's estimate of the images at each evaluation, uint8, (B, 3, H, W) each. The last one is what
        the samplers return.
    """
    noise = ImageNoise(seed, range(len(condition)), module.image_shape, module.device)
    frames: list[Tensor] = []

    def watched(denoiser: Denoiser) -> Denoiser:
        def keeping(x: Tensor, sigma: Tensor) -> Tensor:
            denoised = denoiser(x, sigma)
            frames.append(module.encoder.decode(denoised))
            return denoised

        return keeping

    sample_from(module, condition, settings, noise, guide, watched)
    return frames


def denoising_strip(frames: list[Tensor], row_names: Sequence[str] = (), columns: int = 10) -> LaidOut:
    """Lay frames of `denoising_frames` out: a row is an image, from its first estimate to the image itself.

    Args:
        frames: uint8, (B, 3, H, W) each.
        row_names: What each image is of.
        columns: Frames shown, evenly chosen, the first and the last among them.

    Returns:
        The images, laid out.
    """
    count = min(columns, len(frames))
    chosen = torch.linspace(0, len(frames) - 1, count).round().int().tolist()
    sheet = Sheet(
        count,
        "estimate after so many evaluations of the denoiser",
        [f"{i + 1}" for i in chosen],
        row_names=row_names,
    )
    return LaidOut(sheet, torch.stack([frames[i] for i in chosen], dim=1).flatten(0, 1))
