from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.batches.finishing import normalized
from datamodules.utils.progress import progress
from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.evaluation.image_sets import Sides
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.seeds import Stream, fold

BAND_EDGES = (0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 80.0)
"""Edges in `sigma` of the bands that errors are given in."""


@dataclass(frozen=True)
class BandError:
    """Mean squared errors per pixel value in a band of noise levels.

    Args:
        low: Lower edge in `sigma`.
        high: Upper edge.
        train: Of `denoised` on training images.
        val: The same on held-out images, with the same noise and noise levels.
        identity: Of the noisy image itself.
        constant: Of the mean training image.
    """

    low: float
    high: float
    train: float
    val: float
    identity: float
    constant: float

    @property
    def gap(self) -> float:
        """How much larger the held-out error is than the training error, as a share of it."""
        return self.val / self.train - 1


def band_errors(
    denoiser: Denoiser,
    images: Tensor,
    mean_image: Tensor,
    band: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Denoise a batch at noise levels spread evenly over a band in `ln sigma`.

    Args:
        denoiser: `D(x, sigma)`.
        images: In [-1, 1], (B, C, H, W).
        mean_image: The constant to compare with, (C, H, W).
        band: Edges in `sigma`.
        generator: Where the noise comes from, on the images' device.

    Returns:
        Mean squared errors, (3,): of `denoised`, of the noisy image, of the constant.
    """
    low, high = band
    place = (torch.arange(len(images), device=images.device) + 0.5) / len(images)
    sigma = low * (high / low) ** place
    added = sigma.reshape(-1, 1, 1, 1) * torch.randn(images.shape, generator=generator, device=images.device)
    error = (denoiser(images + added, sigma) - images).square().mean()
    return torch.stack([error, added.square().mean(), (images - mean_image).square().mean()])


@torch.no_grad()
def errors_by_noise_level(
    module: DiffusionModule,
    sides: Sides,
    edges: Sequence[float] = BAND_EDGES,
    batch_size: int = 64,
    quiet: bool = False,
) -> list[BandError]:
    """Measure the denoising error on as many training as held-out images, and so the gap between them.

    Args:
        module: The model, with the weights to measure.
        sides: Training and held-out images, as many of each.
        edges: Edges of the bands, ascending.
        batch_size: Images at a time.
        quiet: Show no progress bar.
    """
    bands = list(itertools.pairwise(edges))
    mean_pixels = normalized(torch.from_numpy(sides.train.images).float().mean(0))
    (mean_image,) = module.encoder.encode(mean_pixels[None].to(module.device))
    sums = torch.zeros(2, len(bands), 3, dtype=torch.float64)
    count = len(sides.train.labels)
    was_training = module.training
    module.eval()
    with progress(
        total=2 * count, desc="error by noise level", unit="image", disable=quiet, delay=1.0
    ) as bar:
        for side, (images, labels) in enumerate(sides):
            for number, start in enumerate(range(0, count, batch_size)):
                some = torch.from_numpy(images[start : start + batch_size])
                x_0 = module.encoder.encode(some.to(module.device))
                denoiser = module.bind(module.conditioner.read(labels[start : start + batch_size]))
                # The same noise on both sides: their difference is the images' alone.
                seed = fold(module.seed, Stream.NOISE_BANDS, number, 0)
                generator = torch.Generator(module.device).manual_seed(seed)
                for band, (low, high) in enumerate(bands):
                    errors = band_errors(denoiser, x_0, mean_image, (low, high), generator)
                    sums[side, band] += len(x_0) * errors.double().cpu()
                bar.update(len(x_0))
    module.train(was_training)
    means = (sums / count).tolist()
    return [
        BandError(low, high, of_train[0], *of_val)
        for (low, high), of_train, of_val in zip(bands, *means, strict=True)
    ]
