"""Samplers that remember nothing from one step to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.samplers.sampler import NoiseSource, intervals, level


def euler(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """Euler's method, first order, one evaluation a step.

    It is DDIM with eta 0 (Song et al. 2021, arXiv 2010.02502, equation 12) in these coordinates.
    """
    for sigma, sigma_next in intervals(sigmas):
        denoised = denoiser(x, level(sigma, x))
        x = denoised + (sigma_next / sigma) * (x - denoised)
    return x


def ancestral(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """Draw from the posterior `q(x_next | x, x_0 = denoised)`, one evaluation a step.

    It is DDPM's sampler (Ho et al. 2020, algorithm 2, with the posterior variance of equation 7) in these
    coordinates: mean `D + (sigma_next^2 / sigma^2) (x - D)`, variance
    `sigma_next^2 (sigma^2 - sigma_next^2) / sigma^2`.
    """
    for sigma, sigma_next in intervals(sigmas):
        denoised = denoiser(x, level(sigma, x))
        x = denoised + (sigma_next / sigma) ** 2 * (x - denoised)
        if sigma_next > 0:
            x = x + sigma_next * (1 - (sigma_next / sigma) ** 2) ** 0.5 * noise()
    return x


def heun(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """Heun's method, second order, two evaluations a step but one at the last: EDM, algorithm 1."""
    for sigma, sigma_next in intervals(sigmas):
        x = _heun_step(denoiser, x, sigma, sigma_next)
    return x


@dataclass(frozen=True)
class Churn:
    """How much noise `stochastic_heun` renews: EDM, algorithm 2; the defaults are table 5's for ImageNet.

    Args:
        amount: `S_churn`: over all steps the noise level is raised by this in total, as a multiple of itself;
            0 is `heun`.
        sigma_min: `S_tmin`: no noise is added below this level.
        sigma_max: `S_tmax`: no noise is added above this level.
        scale: `S_noise`: standard deviation of what is added; a little over 1 makes up for what a denoiser
            that blurs takes away.

    Raises:
        ValueError: If a value is out of its range.
    """

    amount: float = 40.0
    sigma_min: float = 0.05
    sigma_max: float = 50.0
    scale: float = 1.003

    def __post_init__(self) -> None:
        if not 0 <= self.amount < math.inf:
            raise ValueError(f"churn adds noise, at least 0 and finite, not {self.amount:g}")
        if not 0 <= self.sigma_min <= self.sigma_max:
            raise ValueError(
                f"churn.sigma_min is from 0 to churn.sigma_max, which is {self.sigma_max:g}, "
                f"not {self.sigma_min:g}"
            )
        if not 0 < self.scale < math.inf:
            raise ValueError(f"churn.scale is above 0 and finite, not {self.scale:g}")

    def raised(self, sigma: float, steps: int) -> float:
        """Return the noise level from which a step out of `steps` starts that has come to `sigma`."""
        if not self.sigma_min <= sigma <= self.sigma_max:
            return sigma
        return sigma * (1 + min(self.amount / steps, 2**0.5 - 1))


def stochastic_heun(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    churn: Churn = Churn(),
) -> Tensor:
    """Add noise, then take Heun's step from the raised noise level: EDM, algorithm 2.

    Fresh noise lets later steps correct the errors of earlier ones; with many steps it gives better images
    than `heun`, with few it gives worse. Two evaluations a step but one at the last.
    """
    steps = intervals(sigmas)
    for sigma, sigma_next in steps:
        raised = churn.raised(sigma, len(steps))
        if raised > sigma:
            x = x + churn.scale * (raised**2 - sigma**2) ** 0.5 * noise()
        x = _heun_step(denoiser, x, raised, sigma_next)
    return x


def _heun_step(denoiser: Denoiser, x: Tensor, sigma: float, sigma_next: float) -> Tensor:
    slope = (x - denoiser(x, level(sigma, x))) / sigma
    predicted = x + (sigma_next - sigma) * slope
    if sigma_next == 0:
        return predicted
    slope_next = (predicted - denoiser(predicted, level(sigma_next, x))) / sigma_next
    return x + (sigma_next - sigma) * (slope + slope_next) / 2
