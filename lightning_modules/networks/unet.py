"""A convolutional U-Net of the DDPM++/ADM family.

Ho et al. 2020, Song et al. 2021 (arXiv 2011.13456, DDPM++), Dhariwal & Nichol 2021 (arXiv 2105.05233, ADM).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
    scaled_dot_product_attention,
    silu,
)

from lightning_modules.networks.config import NetworkConfig
from lightning_modules.networks.layers import (
    ConditionEmbedding,
    DecayedConv2d,
    DecayedLinear,
    MakeEmbedding,
    zeroed,
)
from lightning_modules.networks.positions import sine_positions
from lightning_modules.utils.ranges import Rule, at_least, check_ranges, share

CONDITION_RATIO = 4
"""Size of the conditioning vector over the channels of the finest level."""


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """Shape of a `UNet`.

    Args:
        channels: Channels at each level, fine to coarse; multiples of 8.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention: Resolutions in pixels of the feature map at which attention follows each block.
        unshuffle: Pixels are folded into channels by this factor first: 2 halves the resolution of the
            finest level, for about a quarter of the cost. It times 2^(levels - 1) divides the image size.
        head_width: Least channels of an attention head.
        dropout: Share of features dropped in training.

    Raises:
        ValueError: If an option is out of its range.
    """

    channels: tuple[int, ...] = (64, 128, 256)
    blocks: int = 2
    attention: tuple[int, ...] = (8, 16)
    unshuffle: int = 1
    head_width: int = 64
    dropout: float = 0.0

    def __post_init__(self) -> None:
        fits = bool(self.channels) and all(count > 0 and count % 8 == 0 for count in self.channels)
        check_ranges(
            Rule("network.channels", list(self.channels), fits, "a list of multiples of 8"),
            at_least("network.blocks", self.blocks, 1),
            *(at_least("network.attention", resolution, 1) for resolution in self.attention),
            at_least("network.unshuffle", self.unshuffle, 1),
            at_least("network.head_width", self.head_width, 1),
            share("network.dropout", self.dropout, whole=False),
        )

    def build(self, image_size: int, channels: int, embed: MakeEmbedding | None, augmentations: int) -> UNet:
        """Make the network; see `NetworkConfig.build`."""
        return UNet(self, image_size, channels, embed, augmentations)


class ResidualBlock(nn.Module):
    """Two convolutions; the condition scales and shifts the second's input (AdaGN).

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        condition_width: Size of the conditioning vector.
        dropout: Share of features dropped in training.
    """

    def __init__(self, channels_in: int, channels_out: int, condition_width: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = group_norm(channels_in)
        self.conv_in = DecayedConv2d(channels_in, channels_out, 3, padding=1)
        self.modulation = zeroed(nn.Linear(condition_width, 2 * channels_out))
        self.norm_out = group_norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(DecayedConv2d(channels_out, channels_out, 3, padding=1))
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else DecayedConv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map features (B, channels_in, H, W) and condition (B, width) to (B, channels_out, H, W)."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv_in(silu(self.norm_in(x)))
        h = torch.addcmul(shift, self.norm_out(h), 1 + scale)
        h = self.conv_out(self.dropout(silu(h)))
        output: Tensor = self.skip(x) + h
        return output


class SelfAttention(nn.Module):
    """Residual self-attention over all pixels.

    Args:
        channels: Channels of the input and output.
        head_width: Least channels of a head; as many heads as that allows and as divide `channels`.
    """

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        most = max(1, channels // head_width)
        self.heads = next(heads for heads in range(most, 0, -1) if channels % heads == 0)
        self.norm = group_norm(channels)
        self.qkv = DecayedLinear(channels, 3 * channels)
        self.output = zeroed(DecayedLinear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Mix pixels, (B, C, H, W) -> (B, C, H, W)."""
        B, C, H, W = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, H * W, C)
        qkv = self.qkv(tokens).view(B, H * W, 3, self.heads, C // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, H * W, head width)
        mixed = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(B, H * W, C)
        output: Tensor = self.output(mixed).transpose(1, 2).reshape(B, C, H, W)
        return x + output


class Stage(nn.Module):
    """A residual block, and attention where the resolution has it.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        condition_width: Size of the conditioning vector.
        dropout: Share of features dropped in training.
        attention: Whether attention follows the residual block.
        head_width: Least channels of an attention head.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        condition_width: int,
        dropout: float,
        attention: bool,
        head_width: int,
    ) -> None:
        super().__init__()
        self.residual = ResidualBlock(channels_in, channels_out, condition_width, dropout)
        self.attention = SelfAttention(channels_out, head_width) if attention else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map features (B, channels_in, H, W) and condition (B, width) to (B, channels_out, H, W)."""
        output: Tensor = self.attention(self.residual(x, condition))
        return output


class UNet(nn.Module):
    """Residual stages from fine to coarse and back, with a skip from each on the way down to its twin.

    Output is 0 at initialization, for any input. Convolutions run channels-last, which is what both
    cuDNN and oneDNN are fastest with.

    Args:
        config: The shape.
        image_size: Height and width in pixels, a multiple of `unshuffle * 2^(levels - 1)`.
        channels: Image channels.
        embed: Makes the embedding of the condition; None: an unconditional network.
        augmentations: Number of values that say what was done to an image; 0 where nothing ever is.

    Raises:
        ValueError: If the levels do not divide the image size.
    """

    def __init__(
        self,
        config: UNetConfig,
        image_size: int,
        channels: int = 3,
        embed: MakeEmbedding | None = None,
        augmentations: int = 0,
    ) -> None:
        super().__init__()
        levels, unshuffle = config.channels, config.unshuffle
        _check_levels(image_size, len(levels), unshuffle)
        self.unshuffle = unshuffle
        width = CONDITION_RATIO * levels[0]
        folded = channels * unshuffle**2
        self.condition = ConditionEmbedding(width, embed, augmentations)
        self.stem = nn.Conv2d(folded, levels[0], 3, padding=1)
        side = image_size // unshuffle
        positions = sine_positions(side, levels[0]).T.reshape(1, levels[0], side, side)
        self.position_embedding = nn.Parameter(positions.contiguous())

        def stage(channels_in: int, channels_out: int, attends: bool) -> Stage:
            return Stage(channels_in, channels_out, width, config.dropout, attends, config.head_width)

        attention = [side // 2**level in config.attention for level in range(len(levels))]
        now, skips = levels[0], [levels[0]]  # channels of the features so far, and of each skip
        self.down = nn.ModuleList()
        for level, (out, attends) in enumerate(zip(levels, attention, strict=True)):
            if level > 0:
                self.down.append(Downsample(now))
                skips.append(now)
            for _ in range(config.blocks):
                self.down.append(stage(now, out, attends))
                now = out
                skips.append(now)
        self.middle = nn.ModuleList(stage(now, now, attends) for attends in (True, False))
        self.up = nn.ModuleList()
        for level, (out, attends) in reversed(list(enumerate(zip(levels, attention, strict=True)))):
            for _ in range(config.blocks + 1):
                self.up.append(stage(now + skips.pop(), out, attends))
                now = out
            if level > 0:
                self.up.append(Upsample(now))
        self.norm = group_norm(now)
        self.output = zeroed(nn.Conv2d(now, folded, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, x: Tensor, noise_level: Tensor, condition: object, augmentation: Tensor | None = None
    ) -> Tensor:
        """Map images (B, C, H, W), noise levels (B,) and what is asked for to images (B, C, H, W).

        `augmentation` (B, augmentations) says what was done to the images; None: as zeros.
        """
        vector = silu(self.condition(noise_level, condition, augmentation))  # (B, width)
        x = pixel_unshuffle(x, self.unshuffle) if self.unshuffle > 1 else x
        h = self.stem(x.contiguous(memory_format=torch.channels_last)) + self.position_embedding
        skips = [h]
        for layer in self.down:
            h = layer(h, vector) if isinstance(layer, Stage) else layer(h)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, vector)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], dim=1), vector) if isinstance(layer, Stage) else layer(h)
        h = self.output(silu(self.norm(h)))
        return pixel_shuffle(h, self.unshuffle) if self.unshuffle > 1 else h


class Downsample(nn.Module):
    """Halve the resolution with a strided convolution.

    Args:
        channels: Channels of the input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = DecayedConv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / 2, W / 2)."""
        output: Tensor = self.conv(x)
        return output


class Upsample(nn.Module):
    """Double the resolution by repeating pixels, then smooth with a convolution.

    Args:
        channels: Channels of the input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = DecayedConv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 2 H, 2 W)."""
        output: Tensor = self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))
        return output


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalize in groups of at least 4 channels, at most 32 groups (ADM's 32 at 128 channels and more)."""
    return nn.GroupNorm(math.gcd(32, channels // 4), channels, eps=1e-5)


def _check_levels(image_size: int, levels: int, unshuffle: int) -> None:
    factor = unshuffle * 2 ** (levels - 1)
    if image_size % factor:
        raise ValueError(
            f"image_size {image_size} is not a multiple of {factor} = network.unshuffle {unshuffle} * "
            f"2^(levels - 1) with {levels} levels: take fewer network.channels or another image_size."
        )
