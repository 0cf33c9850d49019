from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.diffusion.schedules.schedule import ramp


def log_snr_schedule(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Space the logarithm of the signal-to-noise ratio, `-2 ln sigma`, evenly, and end with 0.

    The schedule that DPM-Solver was published with (Lu et al. 2022, arXiv 2206.00927), and the limit of the
    Karras schedule for large `rho`.

    Args:
        steps: Number of denoising steps, at least 1.
        sigma_min: Last noise level before 0.
        sigma_max: First noise level.

    Returns:
        `sigmas`, (steps + 1,), float64, descending from `sigma_max` to `sigma_min` and then 0.
    """
    even = ramp(steps, sigma_min, sigma_max)
    return torch.cat([sigma_max * (sigma_min / sigma_max) ** even, even.new_zeros(1)])
