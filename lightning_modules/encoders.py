"""From pixels to what a network is trained on, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.batches.finishing import normalized
from lightning_modules.diffusion.setting import Setting


class Encoder(Setting, ABC):
    """Pixels of color images <-> model space. Nothing else knows how many channels a model has.

    A subclass is a frozen dataclass of plain values, for checkpoints hold it. Model space is scaled as the
    preconditioners expect it: a standard deviation of about 0.5.
    """

    @abstractmethod
    def shape(self, image_size: int) -> tuple[int, int, int]:
        """Return (C, H, W) of `x_0` for images of a size in pixels."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, 3, S, S), uint8 or float in [-1, 1], to `x_0` (B, C, H, W), float."""

    @abstractmethod
    def decode(self, x_0: Tensor) -> Tensor:
        """Map `x_0` (B, C, H, W) to images (B, 3, S, S), uint8, on the CPU."""


@dataclass(frozen=True)
class RGB(Encoder):
    """The pixels themselves: red, green and blue in [-1, 1]."""

    def shape(self, image_size: int) -> tuple[int, int, int]:
        """Return (3, S, S)."""
        return 3, image_size, image_size

    def encode(self, images: Tensor) -> Tensor:
        """Scale bytes to [-1, 1]; what is scaled already stays."""
        return images if images.is_floating_point() else normalized(images.float())

    def decode(self, x_0: Tensor) -> Tensor:
        """Round from [-1, 1] to 0..255; what lies outside is clipped."""
        return x_0.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()
