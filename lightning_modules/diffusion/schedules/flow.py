from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.diffusion.schedules.schedule import ramp


def flow_schedule(steps: int, sigma_min: float, sigma_max: float, shift: float = 1.0) -> Tensor:
    """Space flow time evenly from `t(sigma_max)` to 0, then shift it toward noise.

    The shift is `t -> shift * t / (1 + (shift - 1) * t)`, Esser et al. 2024 (arXiv 2403.03206), equation 23,
    which in noise levels is `sigma -> shift * sigma`.

    Args:
        steps: Number of denoising steps, at least 1.
        sigma_min: Unused but for the check; the schedule ends evenly at `t = 0`.
        sigma_max: First noise level.
        shift: Larger puts more of the steps at large noise levels.

    Returns:
        `sigmas`, (steps + 1,), float64, descending from `sigma_max` to 0.
    """
    if not shift > 0:
        raise ValueError(f"The shift of a flow schedule is positive, not {shift}.")
    ramp(steps, sigma_min, sigma_max)
    t_max = sigma_max / shift / (1 + sigma_max / shift)
    t = t_max * torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return shift * t / (1 - t)
