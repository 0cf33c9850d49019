from __future__ import annotations

import numpy as np
from torch import Tensor

from lightning_modules.metrics.features import Images
from lightning_modules.metrics.memorisation import (
    Memorisation,
    Nearest,
    closest_pairs,
    memorisation,
    nearest_images,
)
from lightning_modules.metrics.protocol import Protocol

_PAIRS = 16


class CopyDetector:
    """Look for copies of training images among samples, beside held-out images, which cannot be copies.

    Args:
        protocol: Takes the features.
        train: Training images, uint8 (M, 3, S, S).
        held_out: Held-out images, at least one.
        mirrored: Whether training mirrors its images, so that a mirrored copy is a copy.
    """

    def __init__(self, protocol: Protocol, train: Images, held_out: Images, mirrored: bool) -> None:
        self.protocol, self.train_images, self.mirrored = protocol, train, mirrored
        self.train = protocol.real_features(train, "features of training images")
        self.held_out = self.nearest(held_out, protocol.real_features(held_out))

    def nearest(self, images: Images, features: Tensor) -> Nearest:
        """Find the nearest training images of images whose features are known."""
        mirrored = self.protocol.features(images[..., ::-1]) if self.mirrored else None
        return nearest_images(features, self.train, mirrored)

    def look(self, images: Images, features: Tensor) -> tuple[Memorisation, Images]:
        """Measure memorisation among samples.

        Returns:
            The gauge, and the samples most like copies, each before its nearest training image, uint8
            (P, 3, S, S).
        """
        nearest = self.nearest(images, features)
        pairs = closest_pairs(nearest, _PAIRS)
        both = np.stack([images[pairs[:, 0]], self.train_images[pairs[:, 1]]], axis=1)
        return memorisation(nearest, self.held_out), both.reshape(-1, *images.shape[1:])
