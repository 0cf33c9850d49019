"""Small networks with the same signature, and the inputs that tests feed them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from lightning_modules.networks.dit import DiT, DiTConfig
from lightning_modules.networks.layers import MakeEmbedding
from lightning_modules.networks.unet import UNet, UNetConfig
from tests.helpers import tiny

LEVEL = torch.tensor([-1.0, 0.2, 0.9])
LABELS = torch.tensor([0, 1, 2])
LABEL_EMBEDDING = partial(nn.Embedding, 3)
MERGED = {"merged_depth": 2, "merged_width": 24, "merged_heads": 3}
DIT_VARIANTS = {
    "plain": {},
    "odd": {"depth": 3},
    "merged": MERGED,
}
UNET_VARIANTS = {
    "plain": {},
    "unshuffle": {"unshuffle": 2},
    "deep": {"channels": (8, 16, 8), "blocks": 2, "attention": (2, 8)},
    "no attention": {"attention": ()},
}


def dit(image_size: int = 8, embed: MakeEmbedding | None = LABEL_EMBEDDING, **options) -> DiT:
    torch.manual_seed(0)
    return DiT(DiTConfig(**{**tiny.DIT, **options}), image_size, embed=embed)


def unet(image_size: int = 8, embed: MakeEmbedding | None = LABEL_EMBEDDING, **options) -> UNet:
    torch.manual_seed(0)
    return UNet(UNetConfig(**{**tiny.UNET, **options}), image_size, embed=embed)


@torch.no_grad()
def run(network: nn.Module, x: Tensor, level: Tensor = LEVEL, labels: Tensor = LABELS) -> Tensor:
    return network(x, level[: len(x)].to(x.dtype), labels[: len(x)])


def images(size: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    return tiny.draw(3, 3, size, size, dtype=dtype)
