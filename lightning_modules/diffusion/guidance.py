from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.diffusion.preconditioning import Denoiser

EVERYWHERE = (0.0, float("inf"))
"""The interval of all noise levels."""


def classifier_free_guidance(
    denoiser: Denoiser, scale: float, null_label: int, interval: tuple[float, float] = EVERYWHERE
) -> Denoiser:
    """Push the conditional estimate away from the unconditional one.

    `D = D_null + scale * (D_label - D_null)`: Ho & Salimans 2022 (arXiv 2207.12598), equation 6, with
    `scale = 1 + w`; only inside an interval of noise levels: Kynkaanniemi et al. 2024 (arXiv 2404.07724).

    Args:
        denoiser: A denoiser trained with label dropout.
        scale: 1 returns `denoiser` itself; outside the interval it counts as 1.
        null_label: The label that stands for "none".
        interval: Guidance acts where `interval[0] < sigma <= interval[1]`.

    Returns:
        The guided denoiser. All its images share one noise level, as samplers call it; inside the interval
        one call is one evaluation of twice the batch.
    """
    if scale == 1:
        return denoiser

    def guided(x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        if not _inside(sigma, interval):
            return denoiser(x, sigma, labels)
        both = torch.cat([labels, torch.full_like(labels, null_label)])
        conditional, unconditional = denoiser(x.repeat(2, 1, 1, 1), sigma.repeat(2), both).chunk(2)
        return torch.lerp(unconditional, conditional, scale)

    return guided


def autoguidance(
    denoiser: Denoiser, guide: Denoiser, scale: float, interval: tuple[float, float] = EVERYWHERE
) -> Denoiser:
    """Push the estimate away from that of a worse model of the same data.

    `D = D_guide + scale * (D_denoiser - D_guide)`, both given the labels: Karras et al. 2024, "Guiding a
    diffusion model with a bad version of itself" (arXiv 2406.02507), section 4. The guide is a smaller or
    less trained model, such as an earlier checkpoint; no label dropout is needed.

    Args:
        denoiser: The denoiser to improve.
        guide: The worse one.
        scale: 1 returns `denoiser` itself; outside the interval it counts as 1.
        interval: Guidance acts where `interval[0] < sigma <= interval[1]`.

    Returns:
        The guided denoiser. All its images share one noise level; inside the interval one call is one
        evaluation of each of the two.
    """
    if scale == 1:
        return denoiser

    def guided(x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        estimate = denoiser(x, sigma, labels)
        if not _inside(sigma, interval):
            return estimate
        return torch.lerp(guide(x, sigma, labels), estimate, scale)

    return guided


def _inside(sigma: Tensor, interval: tuple[float, float]) -> bool:
    low, high = interval
    return low < float(sigma[0]) <= high
