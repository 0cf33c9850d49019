"""A diffusion transformer: Peebles & Xie 2023 (arXiv 2212.09748) with what has since become usual."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from lightning_modules.networks.layers import Condition, DecayedLinear, zeroed
from lightning_modules.networks.positions import RotaryPositions, sine_positions, window_mask

Modulation = Literal["shared", "per_block"]


class HeadNorm(nn.Module):
    """RMSNorm whose learned scale takes the precision of its input, as autocast leaves the norm alone.

    Args:
        head_width: Features of a head.
    """

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(head_width))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise the last dimension of (..., head_width)."""
        return rms_norm(features, self.weight.shape, self.weight.to(features.dtype), eps=1e-6)


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys and rotary positions.

    Args:
        width: Size of a token.
        heads: Number of heads; divides `width`, and each head's size is a multiple of 4.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = DecayedLinear(width, 3 * width, bias=False)
        self.query_norm = HeadNorm(width // heads)
        self.key_norm = HeadNorm(width // heads)
        self.output = DecayedLinear(width, width, bias=False)

    def forward(self, tokens: Tensor, positions: RotaryPositions, mask: Tensor | None) -> Tensor:
        """Mix tokens, (B, N, width) -> (B, N, width); `mask` (N, N) is True where attention is allowed."""
        B, N, width = tokens.shape
        qkv = self.qkv(tokens).view(B, N, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, head width)
        query = positions.rotate(self.query_norm(query))
        key = positions.rotate(self.key_norm(key))
        mixed = scaled_dot_product_attention(query, key, value.to(query.dtype), attn_mask=mask)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(B, N, width))
        return output


class SwiGLU(nn.Module):
    """A gated feed-forward layer: Shazeer 2020 (arXiv 2002.05202), equation 6.

    Args:
        width: Size of a token.
        hidden: Size of the hidden layer.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gate_and_value = DecayedLinear(width, 2 * hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = DecayedLinear(hidden, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token, (B, N, width) -> (B, N, width)."""
        gate, value = self.gate_and_value(tokens).chunk(2, dim=-1)
        output: Tensor = self.output(self.dropout(silu(gate) * value))
        return output


class Block(nn.Module):
    """Attention and feed-forward, each scaled, shifted and gated by the condition (adaLN-Zero).

    Args:
        width: Size of a token.
        heads: Number of attention heads.
        hidden: Size of the feed-forward layer's hidden layer.
        dropout: Share of hidden units dropped in training.
        own_modulation: Whether the block maps the condition to its six modulation vectors by itself; if not,
            it adds a learned offset to vectors that all blocks share (Chen et al. 2024, "PixArt-alpha",
            arXiv 2310.00426, adaLN-single), which saves a third of the parameters.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, own_modulation: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed_forward = SwiGLU(width, hidden, dropout)
        self.modulation = zeroed(nn.Linear(width, 6 * width)) if own_modulation else Offset(6 * width)

    def forward(
        self, tokens: Tensor, condition: Tensor, positions: RotaryPositions, mask: Tensor | None
    ) -> Tensor:
        """Update tokens, (B, N, width).

        `condition` is the activated conditioning vector (B, width) if the block has a modulation of its own,
        and the shared modulation vectors (B, 6 * width) if not.
        """
        modulation = self.modulation(condition)[:, None].chunk(6, dim=-1)  # each (B, 1, width)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation
        tokens = torch.addcmul(
            tokens, gate_a, self.attention(modulate(tokens, shift_a, scale_a), positions, mask)
        )
        return torch.addcmul(tokens, gate_f, self.feed_forward(modulate(tokens, shift_f, scale_f)))


class Offset(nn.Module):
    """Add a learned vector, at first 0.

    Args:
        width: Size of the vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Shift `x`, (..., width)."""
        return x + self.offset


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise tokens (B, N, width), then scale by `1 + scale` and add `shift`, both (B, 1, width)."""
    return torch.addcmul(shift, rms_norm(tokens, tokens.shape[-1:], eps=1e-6), 1 + scale)


class DiT(nn.Module):
    """Images as tokens of `patch_size`^2 pixels through a stack of modulated transformer blocks.

    Output is 0 at initialisation (adaLN-Zero), whatever the input.

    Args:
        image_size: Height and width in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a token's patch in pixels.
        width: Size of a token.
        depth: Number of blocks.
        heads: Number of attention heads; `width / heads` is a multiple of 4.
        num_classes: Number of classes; label `num_classes` is the null label. 0: unconditional.
        channels: Image channels.
        hidden_ratio: Size of the feed-forward hidden layer over `width`; 8/3 has SwiGLU cost what a plain
            layer of ratio 4 costs.
        modulation: `per_block` maps the condition in each block, `shared` once for all.
        registers: Number of learned tokens beside the patches (Darcet et al. 2024, arXiv 2309.16588).
        window: Side in tokens of the local attention windows of the first `window_depth` blocks.
        window_depth: Number of first blocks with local windows; registers see and are seen by all.
        long_skips: Whether block `i`'s output is added, through a zero-initialised linear layer, before block
            `depth - 1 - i` (Bao et al. 2023, "U-ViT", arXiv 2209.12152).
        dropout: Share of feed-forward units dropped in training.
        augmentations: How many numbers say what was done to an image; 0 where nothing is.

    Raises:
        ValueError: If the sizes do not divide.
    """

    positional: Tensor
    mask: Tensor | None

    def __init__(
        self,
        image_size: int,
        patch_size: int = 4,
        width: int = 256,
        depth: int = 6,
        heads: int = 4,
        num_classes: int = 0,
        channels: int = 3,
        hidden_ratio: float = 8 / 3,
        modulation: Modulation = "shared",
        registers: int = 0,
        window: int = 4,
        window_depth: int = 0,
        long_skips: bool = False,
        dropout: float = 0.0,
        augmentations: int = 0,
    ) -> None:
        super().__init__()
        _check_sizes(image_size, patch_size, width, heads)
        self.image_size = image_size
        self.patch_size = patch_size
        side = image_size // patch_size
        patch_dim = channels * patch_size**2
        hidden = max(8, round(width * hidden_ratio / 8) * 8)
        self.patch = nn.Linear(patch_dim, width)
        self.registers = nn.Parameter(torch.randn(registers, width) * 0.02) if registers else None
        self.condition = Condition(width, num_classes, augmentations)
        self.shared_modulation = zeroed(nn.Linear(width, 6 * width)) if modulation == "shared" else None
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, dropout, modulation == "per_block") for _ in range(depth)
        )
        self.skips = nn.ModuleList(
            zeroed(DecayedLinear(width, width)) for _ in range(depth // 2 if long_skips else 0)
        )
        self.output_modulation = zeroed(nn.Linear(width, 2 * width))
        self.output = zeroed(nn.Linear(width, patch_dim))
        self.positions = RotaryPositions(side, width // heads, registers)
        self.position_embedding = nn.Parameter(sine_positions(side, width))
        self.window_depth = window_depth
        mask = window_mask(side, window, registers) if window_depth else None
        self.register_buffer("mask", mask, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        # The published initialisation: every linear layer Xavier-uniform, as if it were one dense matrix.
        # Layers that were made zero stay zero: modulation, skips and output.
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.weight.any():
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, noise_level: Tensor, labels: Tensor, augmentation: Tensor | None = None
    ) -> Tensor:
        """Map images (B, C, H, W), noise levels (B,) and labels (B,) to images (B, C, H, W).

        `augmentation` (B, augmentations) says what was done to the images; none is as good as zeros.

        Raises:
            ValueError: If the images are of another size.
        """
        B, C, H, W = x.shape
        if (self.image_size, self.image_size) != (H, W):
            raise ValueError(f"The network is for {self.image_size} px squares, not for {H} x {W}.")
        condition = silu(self.condition(noise_level, labels, augmentation))  # (B, width)
        modulation = condition if self.shared_modulation is None else self.shared_modulation(condition)
        tokens = self.patch(patchify(x, self.patch_size)) + self.position_embedding  # (B, N, width)
        if self.registers is not None:
            tokens = torch.cat([self.registers.expand(B, -1, -1).to(tokens.dtype), tokens], dim=1)
        tokens = self._run_blocks(tokens, modulation)
        if self.registers is not None:
            tokens = tokens[:, self.registers.shape[0] :]
        shift, scale = self.output_modulation(condition)[:, None].chunk(2, dim=-1)
        patches = self.output(modulate(tokens, shift, scale))  # (B, N, C * patch_size^2)
        return unpatchify(patches, self.patch_size, C, H)

    def _run_blocks(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        depth = len(self.blocks)
        kept: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            if i >= depth - len(self.skips):
                tokens = tokens + self.skips[depth - 1 - i](kept.pop())
            tokens = block(tokens, modulation, self.positions, self.mask if i < self.window_depth else None)
            if i < len(self.skips):
                kept.append(tokens)
        return tokens


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut images (B, C, H, W) into tokens (B, H/p * W/p, C * p * p), row by row."""
    B, C, H, W = x.shape
    grid = x.reshape(B, C, H // patch_size, patch_size, W // patch_size, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * patch_size**2)


def unpatchify(patches: Tensor, patch_size: int, channels: int, image_size: int) -> Tensor:
    """Put tokens (B, H/p * W/p, C * p * p) back into square images (B, C, H, W); `patchify`'s inverse."""
    side = image_size // patch_size
    grid = patches.reshape(-1, side, side, channels, patch_size, patch_size)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, image_size, image_size)


def _check_sizes(image_size: int, patch_size: int, width: int, heads: int) -> None:
    if image_size % patch_size:
        raise ValueError(
            f"image_size {image_size} is not a multiple of patch_size {patch_size}: the patches would not "
            f"tile the image. Take a patch_size that divides it."
        )
    if width % heads or (width // heads) % 4:
        raise ValueError(
            f"width {width} over {heads} heads gives heads of {width / heads:g}: the 2-D rotary positions "
            f"need a whole multiple of 4."
        )
