"""Keeping estimates in the range of images: Saharia et al. 2022 ("Imagen", arXiv 2205.11487), section 2.3.

Strong guidance drives estimates out of [-1, 1], where no image is and no denoiser was trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser


def static_thresholding(denoiser: Denoiser) -> Denoiser:
    """Clip estimates to [-1, 1]."""

    def thresholded(x: Tensor, sigma: Tensor) -> Tensor:
        return denoiser(x, sigma).clamp(-1, 1)

    return thresholded


def dynamic_thresholding(denoiser: Denoiser, percentile: float) -> Denoiser:
    """Clip each image's estimate to [-s, s] and divide it by s, where `s` is a quantile of its magnitudes.

    Where `s` is below 1 it counts as 1, which is static thresholding.

    Args:
        denoiser: `D(x, sigma)`.
        percentile: The quantile, in (0, 1]; Imagen's is 0.995.

    Raises:
        ValueError: If the quantile is out of range.
    """
    if not 0 < percentile <= 1:
        raise ValueError(f"a quantile of the pixels lies in (0, 1], not at {percentile}")

    def thresholded(x: Tensor, sigma: Tensor) -> Tensor:
        denoised = denoiser(x, sigma)
        magnitudes = denoised.abs().flatten(1)
        limit = torch.quantile(magnitudes, percentile, dim=1).clamp(min=1).reshape(-1, 1, 1, 1)
        return denoised.clamp(-limit, limit) / limit

    return thresholded
