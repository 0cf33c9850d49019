from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.diffusion.schedules.schedule import ramp


def karras_schedule(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Space `sigma^(1/rho)` evenly: EDM (Karras et al. 2022), equation 5.

    Args:
        steps: Number of denoising steps, at least 1.
        sigma_min: Last noise level before 0.
        sigma_max: First noise level.
        rho: Larger puts more of the steps at small noise levels.

    Returns:
        `sigmas`, (steps + 1,), float64, descending from `sigma_max` to `sigma_min` and then 0.
    """
    even = ramp(steps, sigma_min, sigma_max)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + even * (low - high)) ** rho, even.new_zeros(1)])
