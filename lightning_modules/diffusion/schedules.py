"""Noise levels at which a sampler evaluates the denoiser, from noise to data, the last one 0."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Grid = Callable[[int, float, float], Tensor]
"""`grid(steps, sigma_min, sigma_max)` -> `sigmas`, (steps + 1,), float64, descending to 0."""


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
    ramp = _ramp(steps, sigma_min, sigma_max)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, ramp.new_zeros(1)])


def log_snr_schedule(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Space the logarithm of the signal-to-noise ratio, `-2 ln sigma`, evenly, and end with 0.

    The grid that DPM-Solver was published with (Lu et al. 2022, arXiv 2206.00927), and the limit of the
    Karras grid for large `rho`.

    Args:
        steps: Number of denoising steps, at least 1.
        sigma_min: Last noise level before 0.
        sigma_max: First noise level.

    Returns:
        `sigmas`, (steps + 1,), float64, descending from `sigma_max` to `sigma_min` and then 0.
    """
    ramp = _ramp(steps, sigma_min, sigma_max)
    return torch.cat([sigma_max * (sigma_min / sigma_max) ** ramp, ramp.new_zeros(1)])


def flow_schedule(steps: int, sigma_min: float, sigma_max: float, shift: float = 1.0) -> Tensor:
    """Space flow time evenly from `t(sigma_max)` to 0, then shift it towards noise.

    The shift is `t -> shift * t / (1 + (shift - 1) * t)`, Esser et al. 2024 (arXiv 2403.03206), equation 23,
    which in noise levels is `sigma -> shift * sigma`.

    Args:
        steps: Number of denoising steps, at least 1.
        sigma_min: Unused but for the check; the grid ends evenly at `t = 0`.
        sigma_max: First noise level.
        shift: Larger puts more of the steps at large noise levels.

    Returns:
        `sigmas`, (steps + 1,), float64, descending from `sigma_max` to 0.
    """
    if not shift > 0:
        raise ValueError(f"The shift of a flow grid is positive, not {shift}.")
    _ramp(steps, sigma_min, sigma_max)
    t_max = sigma_max / shift / (1 + sigma_max / shift)
    t = t_max * torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return shift * t / (1 - t)


def _ramp(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    if steps < 1:
        raise ValueError(f"A sampler needs at least 1 step, not {steps}.")
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"A grid needs 0 < sigma_min < sigma_max, not {sigma_min} and {sigma_max}.")
    return torch.linspace(0, 1, steps, dtype=torch.float64)


SCHEDULES: dict[str, Grid] = {"karras": karras_schedule, "log_snr": log_snr_schedule, "flow": flow_schedule}
