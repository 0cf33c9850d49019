"""How a network becomes a denoiser: `D(x, sigma) = c_skip * x + c_out * F(c_in * x, c_noise)`.

EDM (Karras et al. 2022), equation 7. Every parametrization of the literature is a choice of these four
scalars, so eps-, v-, x- and flow-prediction differ in this file and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_modules.diffusion.setting import Setting
from lightning_modules.diffusion.weighting import (
    EDMWeighting,
    EpsWeighting,
    VelocityWeighting,
    VWeighting,
    Weighting,
)

Network = Callable[[Tensor, Tensor], Tensor]
"""`F(x, c_noise)`: (B, C, H, W), (B,) -> (B, C, H, W), its condition bound."""


class Coefficients(NamedTuple):
    """The four scalars of EDM equation 7, each (B, 1, 1, 1), but `c_noise` (B,)."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


@dataclass(frozen=True)
class Preconditioner(Setting, ABC):
    """A choice of `c_skip`, `c_out` and `c_in`.

    `c_noise` is `ln(sigma) / 4` (EDM table 1) for all of them. For the flow this is `logit(t) / 4`, so a
    network's noise-level embedding sees the same scale for every prediction.
    """

    noised_target: ClassVar[bool]
    """Whether the network's regression target contains noise, which needs full-rank capacity."""

    @abstractmethod
    def scalars(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(c_skip, c_out, c_in)` at `sigma`, each in the shape of `sigma`."""

    @abstractmethod
    def default_weighting(self) -> Weighting:
        """Return the loss weighting that the parametrization was published with."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Return the four coefficients at noise levels `sigma`, shape (B,)."""
        c_skip, c_out, c_in = (c.reshape(-1, 1, 1, 1) for c in self.scalars(sigma))
        return Coefficients(c_skip, c_out, c_in, sigma.log() / 4)

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Evaluate the denoiser (EDM, equation 7).

        The mixing with `x` is done in the precision of `x`, also where the network runs under autocast:
        in half precision `c_skip * x` at small `sigma` would lose the very detail that is asked for.

        Args:
            network: The network `F`.
            x: Noisy images `x_0 + sigma * noise`, (B, C, H, W).
            sigma: Noise levels, (B,), positive.

        Returns:
            `denoised`, the estimate of `x_0`, (B, C, H, W).
        """
        c = self.coefficients(sigma)
        return c.c_skip * x + c.c_out * network(c.c_in * x, c.c_noise).to(x.dtype)

    def target(self, x_0: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Return what the network itself is regressed on: the `F` for which `D = x_0`; (B, C, H, W)."""
        c = self.coefficients(sigma)
        return (x_0 - c.c_skip * x) / c.c_out


@dataclass(frozen=True)
class EDM(Preconditioner):
    """Unit variance of input and target at every noise level: EDM, table 1 and appendix B.6.

    Args:
        sigma_data: Standard deviation of the data.
    """

    sigma_data: float = 0.5
    noised_target = True

    def scalars(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(c_skip, c_out, c_in)`."""
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total, sigma * self.sigma_data / total.sqrt(), total.rsqrt()

    def default_weighting(self) -> Weighting:
        """Return the weighting of EDM table 1."""
        return EDMWeighting(self.sigma_data)


@dataclass(frozen=True)
class Eps(Preconditioner):
    """The network predicts the noise: Ho et al. 2020 (DDPM, arXiv 2006.11239), equations 9 and 11."""

    noised_target = True

    def scalars(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(c_skip, c_out, c_in)`."""
        return torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt()

    def default_weighting(self) -> Weighting:
        """Return the weighting that makes the loss the plain error of the predicted noise."""
        return EpsWeighting()


@dataclass(frozen=True)
class V(Preconditioner):
    """The network predicts `v = alpha * noise - alpha_sigma * x_0` of the variance-preserving process.

    Salimans & Ho 2022 (arXiv 2202.00512), section 4, where `alpha = 1 / sqrt(1 + sigma^2)`.
    """

    noised_target = True

    def scalars(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(c_skip, c_out, c_in)`."""
        alpha = (1 + sigma**2).rsqrt()
        return alpha**2, -sigma * alpha, alpha

    def default_weighting(self) -> Weighting:
        """Return the weighting that makes the loss the plain error of the predicted `v`."""
        return VWeighting()


@dataclass(frozen=True)
class FlowVelocity(Preconditioner):
    """The network predicts the velocity `noise - x_0` from the flow coordinates `x / (1 + sigma)`.

    Liu et al. 2022 (rectified flow), equation 1, with time running from data to noise.

    Args:
        t_min: Flow time at which the loss weight `1 / t^2` stops growing.
    """

    t_min: float = 0.0
    noised_target = True

    def scalars(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(c_skip, c_out, c_in)`."""
        data_share = 1 / (1 + sigma)
        return data_share, -sigma * data_share, data_share

    def default_weighting(self) -> Weighting:
        """Return the weighting that makes the loss the plain error of the predicted velocity."""
        return VelocityWeighting(self.t_min)


@dataclass(frozen=True)
class FlowX(Preconditioner):
    """The network predicts `x_0` from the flow coordinates; the loss is on the velocity.

    Li & He 2025 ("Back to basics: let denoising generative models denoise", arXiv 2511.13720): clean images
    lie on a low-dimensional manifold, so a narrow transformer can predict them where it cannot carry noise.

    Args:
        t_min: Flow time below which `t` is clipped in the loss weight `1 / t^2`.
    """

    t_min: float = 0.05
    noised_target = False

    def scalars(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(c_skip, c_out, c_in)`."""
        return torch.zeros_like(sigma), torch.ones_like(sigma), 1 / (1 + sigma)

    def default_weighting(self) -> Weighting:
        """Return the clipped velocity weighting."""
        return VelocityWeighting(self.t_min)


def check_capacity(
    channels: int,
    patch_size: int,
    width: int,
    preconditioner: Preconditioner,
    patch_option: str,
    width_option: str,
) -> None:
    """Refuse a network that cannot carry what it is to predict.

    A patch of noise fills all of its `channels * patch_size^2` dimensions. Through fewer than that many
    features the rest of the noise can never be removed, however long the training, and every sample stays
    noisy.

    Args:
        channels: Channels of the images.
        patch_size: Side in pixels of what the network's finest place stands for.
        width: Features of such a place.
        preconditioner: Says whether the target contains noise.
        patch_option: Name of the option that sets `patch_size`.
        width_option: Name of the option that sets `width`.

    Raises:
        ValueError: If the target contains noise and a patch has more values than its place features.
    """
    patch_dim = channels * patch_size**2
    if preconditioner.noised_target and patch_dim > width:
        predicted = type(preconditioner).__name__
        raise ValueError(
            f"A patch of {patch_size} x {patch_size} pixels has {patch_dim} values, its token only {width}: "
            f"{predicted} asks the network for noise, and {patch_dim - width} of its dimensions could never "
            f"pass. Take {width_option} >= {patch_dim}, a smaller {patch_option}, or predict clean images "
            f"(model.preconditioner: FlowX)."
        )
