"""The models: a network's shape, and the defaults of its training."""

from __future__ import annotations

from typing import Any

from lightning_modules.diffusion.noise_levels import LogitNormal, LogNormal, NoiseLevels
from lightning_modules.diffusion.preconditioning import EDM, FlowX, Preconditioner, check_capacity
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.dit import DiTConfig
from lightning_modules.networks.unet import UNetConfig


class DiTDiffusion(DiffusionModule):
    """A diffusion transformer.

    Args:
        image_size: Height and width of the images in pixels.
        network: Shape of the network.
        preconditioner: How the network's output becomes `denoised`, that is what the network predicts.
        noise_levels: The distribution that training draws noise levels from.
        **others: See `DiffusionModule`.

    Raises:
        ValueError: If a setting is out of its range, the network does not fit the images, or it is too narrow
            for what it is to predict.
    """

    def __init__(
        self,
        image_size: int,
        network: DiTConfig = DiTConfig(),
        preconditioner: Preconditioner = FlowX(),
        noise_levels: NoiseLevels = LogitNormal(mean=0.3, std=1.4),
        **others: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(
            image_size, network=network, preconditioner=preconditioner, noise_levels=noise_levels, **others
        )
        patch, width, channels = network.patch_size, network.width, self.image_shape[0]
        check_capacity(channels, patch, width, preconditioner, "network.patch_size", "network.width")


class UNetDiffusion(DiffusionModule):
    """A convolutional U-Net.

    Args:
        image_size: Height and width of the images in pixels.
        network: Shape of the network.
        preconditioner: How the network's output becomes `denoised`, that is what the network predicts.
        noise_levels: The distribution that training draws noise levels from.
        **others: See `DiffusionModule`.

    Raises:
        ValueError: If a setting is out of its range, the network does not fit the images, or it is too narrow
            for what it is to predict.
    """

    def __init__(
        self,
        image_size: int,
        network: UNetConfig = UNetConfig(),
        preconditioner: Preconditioner = EDM(),
        noise_levels: NoiseLevels = LogNormal(),
        **others: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(
            image_size, network=network, preconditioner=preconditioner, noise_levels=noise_levels, **others
        )
        patch, width, channels = network.unshuffle, network.channels[0], self.image_shape[0]
        check_capacity(channels, patch, width, preconditioner, "network.unshuffle", "network.channels[0]")


MODELS: dict[str, type[DiffusionModule]] = {
    "DiTDiffusion": DiTDiffusion,
    "UNetDiffusion": UNetDiffusion,
}
"""By name, as `--model` takes them."""
