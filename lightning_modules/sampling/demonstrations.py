"""Pictures that show what a model does: its classes, what lies between images, how one comes about."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.diffusion.preconditioning import Denoiser
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.captions import class_captions
from lightning_modules.pictures.images import to_uint8
from lightning_modules.pictures.sheets import LaidOut, Sheet
from lightning_modules.sampling.generate import batch_ranges
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
    """Draw every class from the same noise: a column is a class, a row a stream of noise.

    More classes than fit into a row are drawn once each, in their order, as many in a row as there are rows;
    their names stand below, as long as there is room for them.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance.
        seed: Seed of the noise.
        rows: Images per class.
        guide: A weaker model to guide away from.
        batch_size: Images at a time.

    Returns:
        The images, laid out.
    """
    count = columns = module.num_classes
    names = class_captions(module.class_names, range(count))
    sheet = Sheet(columns, column_names=names)
    if count > _MAX_COLUMNS:
        rows, columns = 1, math.ceil(math.sqrt(count))
        title = f"{count:,} classes in their order; at the left the first of each row"
        sheet = Sheet(columns, title, row_names=names[::columns], captions=names)
    drawn = [
        to_uint8(module.sample(torch.tensor(list(labels)), settings, seed, [row] * len(labels), guide))
        for row in range(rows)
        for labels in batch_ranges(count, batch_size)
    ]
    return LaidOut(sheet, torch.cat(drawn))


def interpolation_grid(
    module: DiffusionModule,
    settings: Sampling,
    labels: list[int],
    seed: int = 0,
    columns: int = 8,
    guide: DiffusionModule | None = None,
) -> LaidOut:
    """Draw from noise on the way between that of two images: row `r` leads from image `2 r` to `2 r + 1`.

    Args:
        module: The model that draws.
        settings: Sampler, steps, guidance; a stochastic sampler's later draws are interpolated as well.
        labels: A label for each row.
        seed: Seed of the noise.
        columns: Images in a row, the two ends included.
        guide: A weaker model to guide away from.

    Returns:
        The images, laid out.
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
    sheet = Sheet(
        columns,
        "from one image's noise to another's",
        [f"{share:.0%}" for share in shares.tolist()],
        row_names=class_captions(module.class_names, labels),
    )
    return LaidOut(sheet, torch.cat(drawn))


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
