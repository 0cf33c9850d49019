from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sine_positions(side: int, width: int) -> Tensor:
    """Return absolute positions as sines and cosines of row and column.

    Wavelengths run geometrically from 2 tokens to four times the grid, whose row and column are then told
    apart from end to end.

    Args:
        side: Height and width of the token grid.
        width: Size of a token, a multiple of 4.

    Returns:
        Embeddings, (side^2, width), entries in [-1, 1], row by row.
    """
    wavelengths = 2 * torch.logspace(0, math.log2(2 * side), width // 4, base=2.0)
    angles = 2 * math.pi * torch.arange(side)[:, None] / wavelengths  # (side, width / 4)
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    rows, columns = axis[:, None].expand(side, side, -1), axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


class RotaryPositions(nn.Module):
    """Two-dimensional rotary position embedding: Su et al. 2021 (arXiv 2104.09864), by axis.

    Half of each head's features turn with the row, half with the column. The wavelengths run from 2 tokens
    to twice the grid, so that every distance in the grid has a wave that tells it.

    Args:
        side: Height and width of the token grid.
        head_width: Features of a head, a multiple of 4.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, side: int, head_width: int) -> None:
        super().__init__()
        waves = head_width // 4
        wavelengths = 2 * torch.logspace(0, math.log2(max(side, 2)), waves, base=2.0)
        place = torch.arange(side, dtype=torch.float32)
        rows, columns = torch.meshgrid(place, place, indexing="ij")
        turns = torch.stack([rows, columns], dim=-1).reshape(-1, 2, 1) / wavelengths  # (N, 2, waves)
        angles = 2 * math.pi * turns.flatten(1)  # (N, head_width / 2)
        self.register_buffer("cosine", torch.cat([angles.cos(), angles.cos()], dim=1), persistent=False)
        self.register_buffer("sine", torch.cat([-angles.sin(), angles.sin()], dim=1), persistent=False)

    def rotate(self, features: Tensor) -> Tensor:
        """Turn each feature pair (i, i + half) of (B, heads, N, head_width) by its position's angle."""
        first, second = features.chunk(2, dim=-1)
        swapped = torch.cat([second, first], dim=-1)
        cosine, sine = self.cosine.to(features.dtype), self.sine.to(features.dtype)
        return torch.addcmul(features * cosine, swapped, sine)
