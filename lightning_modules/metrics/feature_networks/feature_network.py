"""What a feature network is, and what several of them do to pixels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


class FeatureNetwork(nn.Module, ABC):
    """A frozen network from images to feature vectors, with everything it does to pixels inside.

    Args:
        name: What reports call it.
        num_features: Length of a feature vector, F.
    """

    def __init__(self, name: str, num_features: int) -> None:
        super().__init__()
        self.name = name
        self.num_features = num_features

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, 3, H, W), to features, (B, F)."""

    def logits(self, features: Tensor) -> Tensor | None:
        """Map features (B, F) to class logits (B, K); None if the network is no classifier."""
        return None

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map images to features.

        Args:
            images: uint8, (B, 3, H, W). Only bytes: what a float image becomes is decided once, by
                rounding (`Encoder.decode`), not in a metric by truncation.

        Returns:
            Features, float32, (B, F).

        Raises:
            TypeError: If the images are not uint8.
            ValueError: If they are not RGB, or a feature is not finite.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"features are taken of uint8 images, not of {images.dtype}: decode them")
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"features are taken of images (B, 3, H, W), not {tuple(images.shape)}")
        features = self.features(images).float().flatten(1)
        if not features.isfinite().all():
            raise ValueError(f"the feature network {self.name} returned a number that is not finite")
        return features

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Stay in evaluation mode always."""
        return super().train(False)

    @property
    def cache_key(self) -> str:
        """Name and a hash of all weights: of another network, or the same trained further, it differs."""
        digest = hashlib.blake2b(digest_size=8)
        for key, value in sorted(self.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return f"{self.name}-{digest.hexdigest()}"


def resized(images: Tensor, side: int) -> Tensor:
    """Resize square images, uint8 (B, 3, S, S), antialiased bicubic, to float in [0, 255]."""
    x = images.float()
    if x.shape[-2:] == (side, side):
        return x
    return interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 255)
