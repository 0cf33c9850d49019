"""Distributions from which training draws its noise levels `sigma`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.diffusion.setting import Setting


@dataclass(frozen=True)
class NoiseLevels(Setting, ABC):
    """A probability distribution over noise levels."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw noise levels.

        Args:
            count: Number of levels.
            generator: Where the randomness comes from; its device is the result's.

        Returns:
            `sigma`, shape (count,), float32, positive and finite.
        """
        # rand() can return an exact 0, which an inverse distribution function sends to -infinity.
        uniform = torch.rand(count, generator=generator, device=generator.device)
        return self.from_uniform(uniform.clamp(min=torch.finfo(torch.float32).eps / 2))

    @abstractmethod
    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map probabilities in (0, 1), any shape, to noise levels: the inverse distribution function."""


@dataclass(frozen=True)
class LogNormal(NoiseLevels):
    """`ln sigma ~ N(p_mean, p_std^2)`: EDM, table 1, "noise distribution".

    Args:
        p_mean: Mean of `ln sigma`.
        p_std: Standard deviation of `ln sigma`.
    """

    p_mean: float = -1.2
    p_std: float = 1.2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.p_mean) and 0 < self.p_std < math.inf):
            raise ValueError(f"p_mean is finite and p_std above 0, not {self.p_mean} and {self.p_std}.")

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map probabilities to noise levels."""
        log_sigma: Tensor = self.p_mean + self.p_std * torch.special.ndtri(uniform)
        return log_sigma.exp()


@dataclass(frozen=True)
class LogitNormal(NoiseLevels):
    """`logit t ~ N(mean, std^2)` in flow time `t`: Esser et al. 2024 (arXiv 2403.03206), equation 19.

    Since `sigma = t / (1 - t)`, `logit t = ln sigma`: in `sigma` this is a log-normal distribution. Li & He
    2025 ("JiT", arXiv 2511.13720) train the x-predicting DiT with mean 0.8 (in their direction of time -0.8)
    and std 0.8.

    Args:
        mean: Mean of `logit t`; larger is noisier.
        std: Standard deviation of `logit t`.
    """

    mean: float = 0.8
    std: float = 0.8

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            raise ValueError(f"mean is finite and std above 0, not {self.mean} and {self.std}.")

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map probabilities to noise levels."""
        return LogNormal(self.mean, self.std).from_uniform(uniform)


@dataclass(frozen=True)
class Uniform(NoiseLevels):
    """`t ~ U(t_min, t_max)` in flow time `t`: Liu et al. 2022 ("rectified flow", arXiv 2209.03003).

    Args:
        t_min: Smallest flow time, at least 0.
        t_max: Largest flow time, below 1, where `sigma` is infinite.
    """

    t_min: float = 0.0
    t_max: float = 0.999

    def __post_init__(self) -> None:
        if not 0 <= self.t_min < self.t_max < 1:
            raise ValueError(f"Uniform needs 0 <= t_min < t_max < 1, not {self.t_min} and {self.t_max}.")

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map probabilities to noise levels."""
        t = self.t_min + (self.t_max - self.t_min) * uniform
        return t / (1 - t)
