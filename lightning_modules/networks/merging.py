"""Transformer blocks on merged tokens: Crowson et al. 2024 ("HDiT", arXiv 2401.11605), section 4.1."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import rms_norm

from lightning_modules.networks.layers import DecayedLinear, zeroed
from lightning_modules.networks.positions import RotaryPositions, sine_positions
from lightning_modules.networks.transformer import Block, hidden_width


class MergedBlocks(nn.Module):
    """Blocks that see 2 x 2 tokens as one wider token, and add what they find to the four.

    A quarter of the tokens lets a block be twice as wide at the same operations, with four times its
    parameters. All share one modulation. Adds nothing at initialization.

    Args:
        side: Height and width of the token grid, even.
        width: Size of a token, and of the condition.
        merged_width: Size of a merged token, a multiple of 4.
        depth: Number of blocks.
        heads: Number of attention heads; `merged_width / heads` is a multiple of 4.
        mlp_ratio: Size of the feed-forward hidden layer over `merged_width`.
        dropout: Share of feed-forward units dropped in training.

    Raises:
        ValueError: If the side is odd.
    """

    def __init__(
        self,
        side: int,
        width: int,
        merged_width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        if side % 2:
            raise ValueError(
                f"network.merged_depth {depth} merges 2 x 2 tokens, and there are {side} x {side}: take an "
                "image_size that is a multiple of twice the patch_size, or merged_depth 0."
            )
        self.side = side
        self.merge = DecayedLinear(4 * width, merged_width)
        self.position_embedding = nn.Parameter(sine_positions(side // 2, merged_width))
        self.positions = RotaryPositions(side // 2, merged_width // heads)
        self.modulation = zeroed(nn.Linear(width, 6 * merged_width))
        hidden = hidden_width(merged_width, mlp_ratio)
        self.blocks = nn.ModuleList(Block(merged_width, heads, hidden, dropout) for _ in range(depth))
        self.split = zeroed(DecayedLinear(merged_width, 4 * width))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Update tokens, (B, side^2, width), under the condition (B, width)."""
        merged = self.merge(merge(tokens, self.side)) + self.position_embedding
        modulation = self.modulation(condition)
        for block in self.blocks:
            merged = block(merged, modulation, self.positions)
        merged = rms_norm(merged, merged.shape[-1:], eps=1e-6)
        return tokens + split(self.split(merged), self.side)


def merge(tokens: Tensor, side: int) -> Tensor:
    """Lay 2 x 2 neighbors side by side: (B, side^2, W), row by row, into (B, side^2 / 4, 4 * W)."""
    B, N, width = tokens.shape
    grid = tokens.reshape(B, side // 2, 2, side // 2, 2, width)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(B, N // 4, 4 * width)


def split(tokens: Tensor, side: int) -> Tensor:
    """Take neighbors apart again: (B, side^2 / 4, 4 * W) into (B, side^2, W); `merge`'s inverse."""
    B, N, width = tokens.shape
    grid = tokens.reshape(B, side // 2, side // 2, 2, 2, width // 4)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(B, 4 * N, width // 4)
