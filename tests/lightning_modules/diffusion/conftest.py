from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Images (1, 2, 2) of N(mean, covariance): the denoiser and the ODE of these have closed forms."""

    mean: Tensor  # (4,)
    basis: Tensor  # (4, 4), eigenvectors of the covariance in columns
    variances: Tensor  # (4,), its eigenvalues

    @property
    def covariance(self) -> Tensor:
        return self.basis @ self.variances.diag() @ self.basis.T

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """`mean + C (C + sigma^2 I)^-1 (x - mean)`."""
        return self._scale(x, self.variances / (self.variances + sigma[:, None] ** 2))

    def ode_end(self, x: Tensor, sigma: float) -> Tensor:
        """Where the probability-flow ODE that is at `x` at noise level `sigma` ends."""
        return self._scale(x, (self.variances / (self.variances + sigma**2)).sqrt())

    def _scale(self, x: Tensor, factors: Tensor) -> Tensor:
        coordinates = (x.flatten(1) - self.mean) @ self.basis
        return (self.mean + (coordinates * factors) @ self.basis.T).reshape(x.shape)


@pytest.fixture
def gaussian() -> Gaussian:
    generator = torch.Generator().manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    mean = torch.tensor([0.3, -0.5, 0.1, 0.2], dtype=torch.float64)
    return Gaussian(mean, basis, torch.tensor([0.04, 0.2, 0.5, 1.0], dtype=torch.float64))


@pytest.fixture
def toy_network() -> Callable[[Tensor, Tensor], Tensor]:
    """A fixed random two-layer network on images (1, 2, 2), smooth and not linear."""
    generator = torch.Generator().manual_seed(5)
    into, level, out = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in [(4, 16), (16,), (16, 4)]
    )

    def network(x: Tensor, c_noise: Tensor) -> Tensor:
        hidden = torch.tanh(x.flatten(1) @ into + c_noise[:, None] * level)
        return (hidden @ out / 4).reshape(x.shape)

    return network


@pytest.fixture
def no_noise() -> Callable[[], Tensor]:
    def call() -> Tensor:
        pytest.fail("A deterministic sampler asked for noise.")

    return call
