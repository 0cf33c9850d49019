from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.weighting import Weighting


class DenoisingLoss(NamedTuple):
    """Per-sample terms of the denoising objective, not reduced over the batch."""

    loss: Tensor
    """Weighted squared error, mean over the pixels, (B,)."""

    error: Tensor
    """Plain squared error of `denoised`, mean over the pixels, (B,)."""


def denoising_loss(
    denoiser: Denoiser, weighting: Weighting, x_0: Tensor, noise: Tensor, sigma: Tensor
) -> DenoisingLoss:
    """Evaluate the denoising score-matching objective: EDM (Karras et al. 2022), equations 2 and 8.

    Args:
        denoiser: `D(x, sigma)`.
        weighting: Weight of the squared error by noise level.
        x_0: Clean images in [-1, 1], (B, C, H, W).
        noise: Draws of N(0, I), (B, C, H, W).
        sigma: Noise levels, (B,).
    """
    x = x_0 + sigma.reshape(-1, 1, 1, 1) * noise
    denoised = denoiser(x, sigma)
    error = (denoised - x_0).square().flatten(1).mean(1)
    return DenoisingLoss(weighting(sigma) * error, error)
