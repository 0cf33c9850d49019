"""Blocks of a diffusion transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from lightning_modules.networks.layers import DecayedLinear
from lightning_modules.networks.positions import RotaryPositions


class HeadNorm(nn.Module):
    """RMSNorm whose learned scale takes the precision of its input, as autocast leaves the norm alone.

    Args:
        head_width: Features of a head.
    """

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(head_width))

    def forward(self, features: Tensor) -> Tensor:
        """Normalize the last dimension of (..., head_width)."""
        return rms_norm(features, self.weight.shape, self.weight.to(features.dtype), eps=1e-6)


class Attention(nn.Module):
    """Multi-head self-attention with normalized queries and keys and rotary positions.

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

    def forward(self, tokens: Tensor, positions: RotaryPositions) -> Tensor:
        """Mix tokens, (B, N, width) -> (B, N, width)."""
        B, N, width = tokens.shape
        qkv = self.qkv(tokens).view(B, N, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, head width)
        query = positions.rotate(self.query_norm(query))
        key = positions.rotate(self.key_norm(key))
        mixed = scaled_dot_product_attention(query, key, value.to(query.dtype))
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

    The six modulation vectors are those that all blocks share, plus an offset that the block learns, which
    saves a third of the parameters of a map in every block (adaLN-single).

    Args:
        width: Size of a token.
        heads: Number of attention heads.
        hidden: Size of the feed-forward layer's hidden layer.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed_forward = SwiGLU(width, hidden, dropout)
        self.modulation = Offset(6 * width)

    def forward(self, tokens: Tensor, modulation: Tensor, positions: RotaryPositions) -> Tensor:
        """Update tokens, (B, N, width), under the shared modulation vectors, (B, 6 * width)."""
        vectors = self.modulation(modulation)[:, None].chunk(6, dim=-1)  # each (B, 1, width)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = vectors
        tokens = torch.addcmul(tokens, gate_a, self.attention(modulate(tokens, shift_a, scale_a), positions))
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
    """Normalize tokens (B, N, width), then scale by `1 + scale` and add `shift`, both (B, 1, width)."""
    return torch.addcmul(shift, rms_norm(tokens, tokens.shape[-1:], eps=1e-6), 1 + scale)


def hidden_width(width: int, ratio: float) -> int:
    """Return the size of a feed-forward layer's hidden layer: `ratio` times `width`, a multiple of 8."""
    return max(8, round(width * ratio / 8) * 8)


def check_heads(width_option: str, width: int, heads_option: str, heads: int) -> None:
    """Refuse a width that the heads do not divide into multiples of 4.

    Raises:
        ValueError: If they do not, with the options of the network.
    """
    if width % heads or (width // heads) % 4:
        raise ValueError(
            f"network.{width_option} {width} over network.{heads_option} {heads} gives heads of "
            f"{width / heads:g}: the 2-D rotary positions need a whole multiple of 4."
        )
