"""Samplers: plain functions that integrate the probability-flow ODE or the reverse SDE of a denoiser.

All work on `x = x_0 + sigma * noise`, where the ODE is `dx/dsigma = (x - D(x, sigma)) / sigma` (EDM, equation
1 with `sigma(t) = t`), and evaluate `D` at the noise levels of a grid that ends at 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from lightning_modules.diffusion.preconditioning import Denoiser

NoiseSource = Callable[[], Tensor]
"""Each call returns the next draw of N(0, I) in the shape of `x`."""


class Sampler(Protocol):
    """A function from pure noise to images."""

    def __call__(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, labels: Tensor, noise: NoiseSource
    ) -> Tensor:
        """Integrate from `x` at `sigmas[0]` to an image at `sigmas[-1]`.

        Args:
            denoiser: `D(x, sigma, labels)`.
            x: `sigmas[0] * N(0, I)`, (B, C, H, W).
            sigmas: Noise levels, (steps + 1,), descending, the last one 0.
            labels: Class indices, (B,).
            noise: Fresh noise for the stochastic samplers; the others never call it.

        Returns:
            Images, (B, C, H, W), about in [-1, 1], not clipped.
        """


def euler(denoiser: Denoiser, x: Tensor, sigmas: Tensor, labels: Tensor, noise: NoiseSource) -> Tensor:
    """Euler's method, first order, one evaluation a step.

    It is DDIM with eta 0 (Song et al. 2021, arXiv 2010.02502, equation 12) in these coordinates.
    """
    for sigma, sigma_next in _intervals(sigmas):
        denoised = denoiser(x, _levels(sigma, x), labels)
        x = denoised + (sigma_next / sigma) * (x - denoised)
    return x


def ancestral(denoiser: Denoiser, x: Tensor, sigmas: Tensor, labels: Tensor, noise: NoiseSource) -> Tensor:
    """Draw from the posterior `q(x_next | x, x_0 = denoised)`, one evaluation a step.

    It is DDPM's sampler (Ho et al. 2020, algorithm 2, with the posterior variance of equation 7) in these
    coordinates: mean `D + (sigma_next^2 / sigma^2) (x - D)`, variance
    `sigma_next^2 (sigma^2 - sigma_next^2) / sigma^2`.
    """
    for sigma, sigma_next in _intervals(sigmas):
        denoised = denoiser(x, _levels(sigma, x), labels)
        x = denoised + (sigma_next / sigma) ** 2 * (x - denoised)
        if sigma_next > 0:
            x = x + sigma_next * (1 - (sigma_next / sigma) ** 2) ** 0.5 * noise()
    return x


def heun(denoiser: Denoiser, x: Tensor, sigmas: Tensor, labels: Tensor, noise: NoiseSource) -> Tensor:
    """Heun's method, second order, two evaluations a step but one at the last: EDM, algorithm 1."""
    for sigma, sigma_next in _intervals(sigmas):
        slope = (x - denoiser(x, _levels(sigma, x), labels)) / sigma
        predicted = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope_next = (predicted - denoiser(predicted, _levels(sigma_next, x), labels)) / sigma_next
            predicted = x + (sigma_next - sigma) * (slope + slope_next) / 2
        x = predicted
    return x


def dpmpp_2m(denoiser: Denoiser, x: Tensor, sigmas: Tensor, labels: Tensor, noise: NoiseSource) -> Tensor:
    """DPM-Solver++(2M), second order, one evaluation a step: Lu et al. 2022, arXiv 2211.01095, algorithm 2.

    A multistep method in `lambda = -ln sigma`: it extrapolates `D` linearly from the last two evaluations.
    The first step and the one to `sigma = 0`, where `lambda` is infinite, are first order.
    """
    previous: tuple[float, Tensor] | None = None
    for sigma, sigma_next in _intervals(sigmas):
        denoised = denoiser(x, _levels(sigma, x), labels)
        extrapolated = denoised
        if previous is not None and sigma_next > 0:
            sigma_previous, denoised_previous = previous
            ratio = math.log(sigma / sigma_next) / math.log(sigma_previous / sigma) / 2
            extrapolated = (1 + ratio) * denoised - ratio * denoised_previous
        x = extrapolated + (sigma_next / sigma) * (x - extrapolated)
        previous = (sigma, denoised)
    return x


def _intervals(sigmas: Tensor) -> list[tuple[float, float]]:
    # Python floats: each step's scalars are then exact in float64 and cost no transfer from a GPU.
    levels: list[float] = sigmas.tolist()
    if len(levels) < 2 or levels[-1] != 0 or not all(a > b for a, b in itertools.pairwise(levels)):
        raise ValueError(f"A grid must descend strictly and end at 0, not {levels}.")
    return list(itertools.pairwise(levels))


def _levels(sigma: float, x: Tensor) -> Tensor:
    return x.new_full((x.shape[0],), sigma)


SAMPLERS: dict[str, Sampler] = {"euler": euler, "ancestral": ancestral, "heun": heun, "dpmpp_2m": dpmpp_2m}
