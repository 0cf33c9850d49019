"""What a schedule is, and what all of them check."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Schedule = Callable[[int, float, float], Tensor]
"""`schedule(steps, sigma_min, sigma_max)` -> `sigmas`, (steps + 1,), float64, descending to 0."""


def ramp(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Return evenly spaced numbers from 0 to 1, (steps,), float64, once the arguments are checked.

    Raises:
        ValueError: If there is no step, or the noise levels do not descend.
    """
    if steps < 1:
        raise ValueError(f"A sampler needs at least 1 step, not {steps}.")
    if not 0 < sigma_min < sigma_max:
        raise ValueError(f"A schedule needs 0 < sigma_min < sigma_max, not {sigma_min} and {sigma_max}.")
    return torch.linspace(0, 1, steps, dtype=torch.float64)
