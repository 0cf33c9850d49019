from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser, evaluate_both

EVERYWHERE = (0.0, float("inf"))
"""The interval of all noise levels."""


def guided(
    denoiser: Denoiser, weak: Denoiser, scale: float, interval: tuple[float, float] = EVERYWHERE
) -> Denoiser:
    """Push an estimate away from a weaker one: `D = D_weak + scale * (D_denoiser - D_weak)`.

    Classifier-free guidance where `weak` is the same model with nothing asked of it: Ho & Salimans 2022
    (arXiv 2207.12598), equation 6, with `scale = 1 + w`; the model was trained with dropped conditions.
    Autoguidance where it is a smaller or less trained model with the same condition: Karras et al. 2024,
    "Guiding a diffusion model with a bad version of itself" (arXiv 2406.02507), section 4. Only inside an
    interval of noise levels: Kynkaanniemi et al. 2024 (arXiv 2404.07724).

    Args:
        denoiser: The denoiser to improve.
        weak: The weaker one.
        scale: 1 returns `denoiser` itself; outside the interval it counts as 1.
        interval: Guidance acts where `interval[0] < sigma <= interval[1]`.

    Returns:
        The guided denoiser. All its images share one noise level, as samplers call it. Inside the interval
        one call evaluates both: one batch of twice the images where both are the same model.
    """
    if scale == 1:
        return denoiser

    def evaluate(x: Tensor, sigma: Tensor) -> Tensor:
        if not interval[0] < float(sigma[0]) <= interval[1]:
            return denoiser(x, sigma)
        strong, weaker = evaluate_both(denoiser, weak, x, sigma)
        return torch.lerp(weaker, strong, scale)

    return evaluate
