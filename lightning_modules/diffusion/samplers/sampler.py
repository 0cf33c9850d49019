"""What a sampler is, and what all of them start with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser

NoiseSource = Callable[[], Tensor]
"""Each call returns the next draw of N(0, I) in the shape of `x`."""


class Sampler(Protocol):
    """A function from pure noise to images."""

    def __call__(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
        """Integrate from `x` at `sigmas[0]` to an image at `sigmas[-1]`.

        Args:
            denoiser: `D(x, sigma)`.
            x: `sigmas[0] * N(0, I)`, (B, C, H, W).
            sigmas: Noise levels, (steps + 1,), descending, the last one 0.
            noise: Fresh noise for the stochastic samplers; the others never call it.

        Returns:
            Images, (B, C, H, W), about in [-1, 1], not clipped.
        """


def intervals(sigmas: Tensor) -> list[tuple[float, float]]:
    """Return each step's two noise levels.

    They are Python floats: the scalars of a step are then exact in float64 and cost no transfer from a GPU.

    Raises:
        ValueError: If the schedule does not descend strictly to 0.
    """
    levels: list[float] = sigmas.tolist()
    if len(levels) < 2 or levels[-1] != 0 or not all(a > b for a, b in itertools.pairwise(levels)):
        raise ValueError(f"A schedule must descend strictly and end at 0, not {levels}.")
    return list(itertools.pairwise(levels))


def level(sigma: float, x: Tensor) -> Tensor:
    """Return one noise level for every image of a batch, (B,)."""
    return x.new_full((x.shape[0],), sigma)
