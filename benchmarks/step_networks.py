"""The networks of step_speed.py at equal numbers of parameters, and one training step of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from contestants.published_dit import PublishedDiT
from contestants.stand_in import import_ddpm_pytorch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from lightning_modules.diffusion.loss import denoising_loss
from lightning_modules.diffusion.noise_levels import LogitNormal
from lightning_modules.diffusion.preconditioning import FlowX
from lightning_modules.networks.dit import DiT, DiTConfig
from lightning_modules.networks.layers import weight_decay_groups, zeroed
from lightning_modules.networks.unet import UNet, UNetConfig

_LEVELS = 1000
_HEAD = 64  # features of an attention head, in every transformer

DIT = {10: (320, 7), 30: (480, 10)}
DIT_MERGED = {10: (192, 400, 5, 4), 30: (320, 640, 10, 5)}
"""Width, width, heads and number of the blocks on merged tokens; with one plain block before and after."""

DIT_PER_BLOCK = {10: (256, 8), 30: (384, 11)}
PUBLISHED_DIT = {10: (256, 8), 30: (384, 11)}
DIFFUSERS_DIT = {10: (320, 5), 30: (384, 10)}
"""Width and number of blocks of the transformers, by millions of parameters. All have patches of 4 pixels."""

UNET = {
    1: {10: ((64, 112, 240), 1), 30: ((128, 256, 384), 1)},
    2: {10: ((128, 224), 1), 30: ((192, 320), 2)},
    4: {10: ((128, 224), 1), 30: ((224, 384), 1)},
}
"""Ours by `unshuffle`, then as below."""

DIFFUSERS_UNET = {10: ((64, 112, 192), 2), 30: ((96, 176, 352), 2)}
"""Channels by level and blocks per level, by millions of parameters. Attention at the coarsest level."""

DDPM_UNET = {10: 64, 30: 112}
"""Channels of the first of three levels, which double."""


class Step(ABC):
    """A network and what one training step does with it: forward, loss, backward, optimizer, average.

    Args:
        network: The network.
        images: The images, the same at every step, (B, 3, S, S).
    """

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.network, self.images = network.train(), images
        self.average = [parameter.detach().clone() for parameter in network.parameters()]
        self.optimizer = self.make_optimizer()

    @abstractmethod
    def make_optimizer(self) -> torch.optim.Optimizer:
        """Make the optimizer."""

    @abstractmethod
    def loss(self, images: Tensor) -> Tensor:
        """Return the loss of images (B, 3, S, S)."""

    @abstractmethod
    def update_average(self) -> None:
        """Take the weights into the average."""

    @abstractmethod
    def evaluate(self, x: Tensor, noise_level: Tensor) -> Tensor:
        """Evaluate the network on (B, 3, S, S) at levels `ln(sigma) / 4`, (B,), as ours take them."""

    def __call__(self) -> None:
        """Take the step."""
        self.loss(self.images).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.update_average()

    def flops_per_image(self) -> float:
        """Count the FLOPs of forward and backward; a multiplication and an addition are two."""
        aten = torch.ops.aten
        counted = FlopCounterMode(
            display=False,
            custom_mapping={
                aten._scaled_dot_product_flash_attention_for_cpu: _attention,
                aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
            },
        )
        some = self.images[:2]
        with counted:
            self.loss(some).backward()
        self.optimizer.zero_grad()
        return counted.get_total_flops() / len(some)


def _attention(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, out_shape: object = None, **__: object
) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    out: torch.Size,
    query: torch.Size,
    key: torch.Size,
    value: torch.Size,
    *_: object,
    out_shape: object = None,
    **__: object,
) -> int:
    return sdpa_backward_flop_count(out, query, key, value)


class OwnStep(Step):
    """This project's step: its loss, fused AdamW, the average in one call for all weights."""

    preconditioner, noise_levels = FlowX(), LogitNormal(mean=0.3, std=1.4)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW as `DiffusionModule` does."""
        groups: Any = weight_decay_groups(self.network, 0.01)
        return torch.optim.AdamW(groups, 1e-3, (0.9, 0.99), fused=True)

    def loss(self, images: Tensor) -> Tensor:
        """Denoise at random noise levels."""
        sigma = self.noise_levels.sample(len(images), torch.default_generator)
        denoiser = partial(self.preconditioner.denoise, self.evaluate)
        weighting = self.preconditioner.default_weighting()
        return denoising_loss(denoiser, weighting, images, torch.randn_like(images), sigma).loss.mean()

    def update_average(self) -> None:
        """Average all weights in one call."""
        torch._foreach_lerp_(self.average, list(self.network.parameters()), 1e-3)

    def evaluate(self, x: Tensor, noise_level: Tensor) -> Tensor:
        """Evaluate the network."""
        output: Tensor = self.network(x, noise_level, None)
        return output


class PeerStep(Step):
    """A peer's step: the noise of a random one of 1,000 levels, torch's AdamW, the average by the weight.

    Args:
        network: The network.
        images: The images.
        predict: Makes a prediction of noisy images, times and labels, if the network itself does not.
    """

    def __init__(
        self, network: nn.Module, images: Tensor, predict: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__(network, images)
        self.predict = predict
        self.kept = (1 - torch.linspace(1e-4, 0.02, _LEVELS)).cumprod(0)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW as torch does by default."""
        return torch.optim.AdamW(self.network.parameters(), 1e-4)

    def loss(self, images: Tensor) -> Tensor:
        """Predict the noise: Ho et al. 2020, equation 14."""
        time, noise = torch.randint(0, _LEVELS, (len(images),)), torch.randn_like(images)
        kept = self.kept[time][:, None, None, None]
        noisy = kept.sqrt() * images + (1 - kept).sqrt() * noise
        return mse_loss(self.predict(noisy, time, torch.zeros_like(time)), noise)

    def update_average(self) -> None:
        """Average one weight after the other."""
        for average, parameter in zip(self.average, self.network.parameters(), strict=True):
            average.lerp_(parameter, 1e-3)

    def evaluate(self, x: Tensor, noise_level: Tensor) -> Tensor:
        """Evaluate the network, with flow time `sigma / (1 + sigma)` for its time out of 1,000."""
        time = _LEVELS * torch.sigmoid(4 * noise_level)
        return self.predict(x, time, torch.zeros(len(x), dtype=torch.int64))


def own_dit(images: Tensor, millions: int) -> Step:
    width, depth = DIT[millions]
    return OwnStep(DiT(DiTConfig(4, width, depth, heads_of(width)), images.shape[-1]), images)


def own_dit_merged(images: Tensor, millions: int) -> Step:
    width, merged_width, merged_heads, merged_depth = DIT_MERGED[millions]
    merged = {"merged_depth": merged_depth, "merged_width": merged_width, "merged_heads": merged_heads}
    return OwnStep(DiT(DiTConfig(4, width, 2, heads_of(width), **merged), images.shape[-1]), images)


def own_dit_per_block(images: Tensor, millions: int) -> Step:
    width, depth = DIT_PER_BLOCK[millions]
    network = DiT(DiTConfig(4, width, depth, width // _HEAD), images.shape[-1])
    # As published: every block maps the condition by itself, where ours shares one map.
    network.shared_modulation = nn.Identity()  # type: ignore[assignment]
    for block in network.blocks:
        block.modulation = zeroed(nn.Linear(width, 6 * width))
    return OwnStep(network, images)


def own_unet(images: Tensor, millions: int, unshuffle: int = 2) -> Step:
    channels, blocks = UNET[unshuffle][millions]
    size = images.shape[-1]
    coarsest = size // unshuffle // 2 ** (len(channels) - 1)
    return OwnStep(UNet(UNetConfig(channels, blocks, (coarsest,), unshuffle), size), images)


def own_unet_contiguous(images: Tensor, millions: int) -> Step:
    step = own_unet(images, millions)
    step.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    # The network makes its input channels-last; convolutions follow their input.
    stem = step.network.get_submodule("stem")
    stem.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return step


def published_dit(images: Tensor, millions: int) -> Step:
    width, depth = PUBLISHED_DIT[millions]
    network = PublishedDiT(images.shape[-1], width, depth, width // _HEAD, 4)
    return PeerStep(network, images, network)


def diffusers_dit(images: Tensor, millions: int) -> Step:
    from diffusers import DiTTransformer2DModel

    width, depth = DIFFUSERS_DIT[millions]
    network: nn.Module = DiTTransformer2DModel(
        num_attention_heads=width // _HEAD,
        attention_head_dim=_HEAD,
        in_channels=3,
        out_channels=3,
        num_layers=depth,
        sample_size=images.shape[-1],
        patch_size=4,
        num_embeds_ada_norm=1,
    )
    return PeerStep(network, images, lambda x, time, labels: network(x, time, labels).sample)


def diffusers_unet(images: Tensor, millions: int) -> Step:
    from diffusers import UNet2DModel

    channels, blocks = DIFFUSERS_UNET[millions]
    network: nn.Module = UNet2DModel(
        sample_size=images.shape[-1],
        layers_per_block=blocks,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=16,  # divides all channels
    )
    return PeerStep(network, images, lambda x, time, labels: network(x, time).sample)


def ddpm_unet(images: Tensor, millions: int) -> Step:
    library, _ = import_ddpm_pytorch()
    network: nn.Module = library.Unet(dim=DDPM_UNET[millions], dim_mults=(1, 2, 4), flash_attn=False)
    return PeerStep(network, images, lambda x, time, labels: network(x, time))


def heads_of(width: int) -> int:
    """Return the number of heads of about 64 features that divides the width."""
    return next(heads for heads in range(width // _HEAD, 0, -1) if width % heads == 0)


class Row(NamedTuple):
    """A row of the table: how its step is made, and whether freed memory is kept between steps."""

    make: Callable[[Tensor, int], Step]
    own: bool = False
    keeps_memory: bool = False


ROWS = {
    "ours-dit": Row(own_dit, own=True, keeps_memory=True),
    "ours-dit (glibc default)": Row(own_dit, own=True),
    "ours-dit (merged tokens)": Row(own_dit_merged, own=True, keeps_memory=True),
    "ours-dit (modulation per block)": Row(own_dit_per_block, own=True, keeps_memory=True),
    "ours-unet": Row(own_unet, own=True, keeps_memory=True),
    "ours-unet (glibc default)": Row(own_unet, own=True),
    "ours-unet (contiguous)": Row(own_unet_contiguous, own=True, keeps_memory=True),
    "ours-unet (unshuffle 4)": Row(partial(own_unet, unshuffle=4), own=True, keeps_memory=True),
    "ours-unet (unshuffle 1)": Row(partial(own_unet, unshuffle=1), own=True, keeps_memory=True),
    "published-dit": Row(published_dit),
    "diffusers-dit": Row(diffusers_dit),
    "diffusers-unet": Row(diffusers_unet),
    "ddpm-pytorch": Row(ddpm_unet),
}
