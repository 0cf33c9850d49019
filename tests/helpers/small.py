"""Small networks with the same signature, and the inputs that tests feed them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from lightning_modules.networks.dit import DiT
from lightning_modules.networks.unet import UNet
from tests.helpers.tiny import draw

LEVEL = torch.tensor([-1.0, 0.2, 0.9])
LABELS = torch.tensor([0, 1, 2])
LABEL_EMBEDDING = partial(nn.Embedding, 3)
MERGED = {"merged_depth": 2, "merged_width": 24, "merged_heads": 3}
DIT_VARIANTS = {
    "plain": {},
    "per_block": {"modulation": "per_block"},
    "registers": {"registers": 3},
    "windows": {"window": 2, "window_depth": 1, "registers": 1},
    "skips": {"long_skips": True, "depth": 3},
    "merged": {"registers": 1, **MERGED},
}
UNET_VARIANTS = {
    "plain": {},
    "unshuffle": {"unshuffle": 2},
    "deep": {"channels": (8, 16, 8), "blocks": 2, "attention": (2, 8)},
    "no attention": {"attention": ()},
}


def dit(image_size: int = 8, **options) -> DiT:
    settings = {"patch_size": 2, "width": 16, "depth": 2, "heads": 2, "embed": LABEL_EMBEDDING}
    torch.manual_seed(0)
    return DiT(image_size, **{**settings, **options})


def unet(image_size: int = 8, **options) -> UNet:
    settings = {"channels": (8, 16), "blocks": 1, "attention": (4,), "head_width": 8}
    torch.manual_seed(0)
    return UNet(image_size, **{**settings, "embed": LABEL_EMBEDDING, **options})


@torch.no_grad()
def run(network: nn.Module, x: Tensor, level: Tensor = LEVEL, labels: Tensor = LABELS) -> Tensor:
    return network(x, level[: len(x)].to(x.dtype), labels[: len(x)])


def images(size: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    return draw(3, 3, size, size, dtype=dtype)
