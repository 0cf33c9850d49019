"""The diffusion transformer as published: Peebles & Xie 2023, "Scalable diffusion models with transformers".

Written from the paper: patches by a strided convolution, fixed sine-cosine positions, blocks of LayerNorm
without weights, attention and an MLP of ratio 4, each shifted, scaled and gated by the embedding of time and
class (adaLN-Zero), a final modulated linear layer. `TABLE` and `published` give the paper's four sizes, which
the parameter counts are checked with.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 256


class Size(NamedTuple):
    """A row of the paper's table 1, with its number of parameters in millions (table 4)."""

    width: int
    depth: int
    heads: int
    patch: int
    millions: int


TABLE = {
    "DiT-S/2": Size(384, 12, 6, 2, 33),
    "DiT-B/2": Size(768, 12, 12, 2, 130),
    "DiT-L/2": Size(1024, 24, 16, 2, 458),
    "DiT-XL/2": Size(1152, 28, 16, 2, 675),
}


def sine_cosine(count: Tensor, width: int) -> Tensor:
    """Embed positions or times, (N,), in `width` sines and cosines of falling frequencies, (N, width)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half) / half)
    angles = count[:, None].float() * rates.to(count.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Shift and scale tokens (B, T, D) by (B, D)."""
    return x * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention and MLP with adaLN-Zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map tokens (B, T, D) to tokens, under a condition (B, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attend(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))

    def attend(self, x: Tensor) -> Tensor:
        """Attention over the tokens."""
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, T, D))


class PublishedDiT(nn.Module):
    """Predict the noise of images of a time and a class.

    Args:
        size: Side of the images.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Number of heads.
        patch: Side of a patch.
        classes: Number of classes; the label `classes` stands for none.
        channels: Channels of the images.
        learn_sigma: Give twice as many channels, for the variance.
    """

    def __init__(
        self,
        size: int,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        classes: int = 1,
        channels: int = 3,
        learn_sigma: bool = False,
    ) -> None:
        super().__init__()
        self.patch, self.side, self.out_channels = patch, size // patch, channels * (1 + learn_sigma)
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.time = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.final = nn.Linear(width, patch * patch * self.out_channels)
        places = torch.arange(self.side)
        rows, columns = sine_cosine(places, width // 2), sine_cosine(places, width // 2)
        grid = torch.cat(
            [
                columns[None].expand(self.side, -1, -1),
                rows[:, None].expand(-1, self.side, -1),
            ],
            dim=2,
        )
        self.register_buffer("positions", grid.reshape(1, self.side**2, width), persistent=False)
        self.initialize()

    def initialize(self) -> None:
        """Initialize as published: Xavier, small embeddings, and every block the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patches.weight.view(self.patches.weight.shape[0], -1))
        nn.init.zeros_(self.patches.bias)  # type: ignore[arg-type]
        for embedding in (self.label, self.time[0], self.time[2]):
            nn.init.normal_(embedding.weight, std=0.02)
        for layer in (*(block.modulation[1] for block in self.blocks), self.modulation[1], self.final):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Predict, (B, C', S, S), from noisy images (B, C, S, S), times (B,) and labels (B,)."""
        condition = self.time(sine_cosine(time, FREQUENCIES)) + self.label(label)
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.modulation(condition).chunk(2, dim=1)
        tokens = self.final(modulate(self.norm(tokens), shift, scale))
        side, patch = self.side, self.patch
        tokens = tokens.view(len(x), side, side, patch, patch, self.out_channels)
        return tokens.permute(0, 5, 1, 3, 2, 4).reshape(len(x), self.out_channels, *x.shape[2:])


def published(name: str) -> PublishedDiT:
    """Make one of the paper's models: latents of 32 x 32 x 4, 1,000 classes, learned variances."""
    row = TABLE[name]
    return PublishedDiT(
        32, row.width, row.depth, row.heads, row.patch, classes=1000, channels=4, learn_sigma=True
    )
