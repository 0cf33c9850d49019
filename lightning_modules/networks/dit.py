"""A diffusion transformer: Peebles & Xie 2023 (arXiv 2212.09748) with what has since become usual."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from lightning_modules.networks.layers import ConditionEmbedding, DecayedLinear, MakeEmbedding, zeroed
from lightning_modules.networks.merging import MergedBlocks
from lightning_modules.networks.positions import RotaryPositions, sine_positions, window_mask
from lightning_modules.networks.transformer import Block, check_heads, hidden_width, modulate

Modulation = Literal["shared", "per_block"]


class DiT(nn.Module):
    """Images as tokens of `patch_size`^2 pixels through a stack of modulated transformer blocks.

    Output is 0 at initialization (adaLN-Zero), for any input.

    Args:
        image_size: Height and width in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a token's patch in pixels.
        width: Size of a token.
        depth: Number of blocks.
        heads: Number of attention heads; `width / heads` is a multiple of 4.
        embed: Makes the embedding of what is asked for; none is an unconditional network.
        channels: Image channels.
        mlp_ratio: Size of the feed-forward hidden layer over `width`; 8/3 has SwiGLU cost what a plain
            layer of ratio 4 costs.
        modulation: `per_block` maps the condition in each block, `shared` once for all.
        registers: Number of learned tokens beside the patches (Darcet et al. 2024, arXiv 2309.16588).
        window: Side in tokens of the local attention windows of the first `window_depth` blocks.
        window_depth: Number of first blocks with local windows; registers see and are seen by all.
        long_skips: Whether block `i`'s output is added, through a zero-initialized linear layer, before block
            `depth - 1 - i` (Bao et al. 2023, "U-ViT", arXiv 2209.12152).
        dropout: Share of feed-forward units dropped in training.
        augmentations: How many numbers say what was done to an image; 0 where nothing is.
        merged_depth: Number of further blocks, after half of the others, that see 2 x 2 tokens as one; 0 for
            none. See `MergedBlocks`.
        merged_width: Size of a merged token.
        merged_heads: Number of attention heads of the merged blocks.

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
        embed: MakeEmbedding | None = None,
        channels: int = 3,
        mlp_ratio: float = 8 / 3,
        modulation: Modulation = "shared",
        registers: int = 0,
        window: int = 4,
        window_depth: int = 0,
        long_skips: bool = False,
        dropout: float = 0.0,
        augmentations: int = 0,
        merged_depth: int = 0,
        merged_width: int = 384,
        merged_heads: int = 6,
    ) -> None:
        super().__init__()
        _check_patches(image_size, patch_size)
        check_heads("width", width, heads)
        self.image_size = image_size
        self.patch_size = patch_size
        side = image_size // patch_size
        patch_dim = channels * patch_size**2
        hidden = hidden_width(width, mlp_ratio)
        self.patch = nn.Linear(patch_dim, width)
        self.registers = nn.Parameter(torch.randn(registers, width) * 0.02) if registers else None
        self.condition = ConditionEmbedding(width, embed, augmentations)
        self.shared_modulation = zeroed(nn.Linear(width, 6 * width)) if modulation == "shared" else None
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, dropout, modulation == "per_block") for _ in range(depth)
        )
        self.skips = nn.ModuleList(
            zeroed(DecayedLinear(width, width)) for _ in range(depth // 2 if long_skips else 0)
        )
        self.merged = (
            MergedBlocks(side, width, merged_width, merged_depth, merged_heads, mlp_ratio, dropout)
            if merged_depth
            else None
        )
        self.output_modulation = zeroed(nn.Linear(width, 2 * width))
        self.output = zeroed(nn.Linear(width, patch_dim))
        self.positions = RotaryPositions(side, width // heads, registers)
        self.position_embedding = nn.Parameter(sine_positions(side, width))
        self.window_depth = window_depth
        mask = window_mask(side, window, registers) if window_depth else None
        self.register_buffer("mask", mask, persistent=False)
        self._initialize()

    def _initialize(self) -> None:
        # The published initialization: every linear layer Xavier-uniform, as if it were one dense matrix.
        # Layers that were made zero stay zero: modulation, skips and output.
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.weight.any():
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, noise_level: Tensor, condition: object, augmentation: Tensor | None = None
    ) -> Tensor:
        """Map images (B, C, H, W), noise levels (B,) and what is asked for to images (B, C, H, W).

        `augmentation` (B, augmentations) says what was done to the images; None is the same as zeros.

        Raises:
            ValueError: If the images are of another size.
        """
        B, C, H, W = x.shape
        if (self.image_size, self.image_size) != (H, W):
            raise ValueError(f"The network is for {self.image_size} px squares, not for {H} x {W}.")
        vector = silu(self.condition(noise_level, condition, augmentation))  # (B, width)
        modulation = vector if self.shared_modulation is None else self.shared_modulation(vector)
        tokens = self.patch(patchify(x, self.patch_size)) + self.position_embedding  # (B, N, width)
        if self.registers is not None:
            tokens = torch.cat([self.registers.expand(B, -1, -1).to(tokens.dtype), tokens], dim=1)
        tokens = self._run_blocks(tokens, modulation, vector)
        if self.registers is not None:
            tokens = tokens[:, self.registers.shape[0] :]
        shift, scale = self.output_modulation(vector)[:, None].chunk(2, dim=-1)
        patches = self.output(modulate(tokens, shift, scale))  # (B, N, C * patch_size^2)
        return unpatchify(patches, self.patch_size, C, H)

    def _run_blocks(self, tokens: Tensor, modulation: Tensor, vector: Tensor) -> Tensor:
        depth = len(self.blocks)
        kept: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            if self.merged is not None and i == depth // 2:
                tokens = self.merged(tokens, vector)
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


def _check_patches(image_size: int, patch_size: int) -> None:
    if image_size % patch_size:
        raise ValueError(
            f"image_size {image_size} is not a multiple of patch_size {patch_size}: the patches would not "
            f"tile the image. Take a patch_size that divides it."
        )
