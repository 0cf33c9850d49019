"""Weights of the denoising error by noise level: `loss = weight(sigma) * (denoised - x_0)^2`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.diffusion.setting import Setting


@dataclass(frozen=True)
class Weighting(Setting, ABC):
    """A weight for the squared error of `denoised` at each noise level."""

    @abstractmethod
    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights at `sigma`, in its shape."""


@dataclass(frozen=True)
class EDMWeighting(Weighting):
    """`1 / c_out^2` of the EDM preconditioner, so that the initial loss is 1 at every level: EDM, table 1.

    Args:
        sigma_data: Standard deviation of the data.
    """

    sigma_data: float = 0.5

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights at `sigma`."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


@dataclass(frozen=True)
class EpsWeighting(Weighting):
    """Signal-to-noise ratio `1 / sigma^2`: the error of the predicted noise. DDPM's "simple" loss."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights at `sigma`."""
        return sigma**-2


@dataclass(frozen=True)
class VWeighting(Weighting):
    """`1 + 1 / sigma^2`: the error of the predicted `v` (Salimans & Ho 2022, "SNR + 1")."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights at `sigma`."""
        return 1 + sigma**-2


@dataclass(frozen=True)
class VelocityWeighting(Weighting):
    """`1 / t^2 = ((1 + sigma) / sigma)^2`: the error of the flow's velocity, `t` clipped from below.

    Args:
        t_min: Smallest flow time that counts as itself; 0 does not clip.
    """

    t_min: float = 0.05

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights at `sigma`."""
        return (sigma / (1 + sigma)).clamp(min=self.t_min) ** -2


@dataclass(frozen=True)
class MinSNRWeighting(Weighting):
    """`min(1 / sigma^2, gamma)`: Hang et al. 2023 (arXiv 2303.09556), section 3.4, on `x_0`.

    Args:
        gamma: The largest weight.
    """

    gamma: float = 5.0

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights at `sigma`."""
        return (sigma**-2).clamp(max=self.gamma)


@dataclass(frozen=True)
class UniformWeighting(Weighting):
    """The plain error of `denoised` at every noise level."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return ones in the shape of `sigma`."""
        return torch.ones_like(sigma)
