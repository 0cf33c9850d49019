from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_modules.evaluation.protocol import Protocol
from lightning_modules.metrics.features import Images
from lightning_modules.metrics.memorization import (
    Memorization,
    Nearest,
    closest_pairs,
    memorization,
    nearest_images,
)
from lightning_modules.pictures.sheets import LaidOut, Sheet

_PAIRS = 16
_COLUMNS = 4  # pairs


@dataclass(frozen=True, eq=False)
class ClosestPairs:
    """The samples most like copies, each before its nearest training image.

    Args:
        images: Samples and training images in turn, uint8, (2 P, 3, S, S).
        distances: Of each pair, over the median distance of held-out images to theirs, (P,).
    """

    images: Images
    distances: tuple[float, ...]

    def laid_out(self, what: str) -> LaidOut:
        """Lay them out side by side: which is which, and how far apart.

        Args:
            what: What the samples are of, such as "step 1,200".
        """
        sheet = Sheet(
            2 * _COLUMNS,
            f"closest to the training images · 1 is a held-out image's median distance · {what}",
            ["sample", "training image"] * min(_COLUMNS, len(self.distances)),
            captions=[f"distance {distance:.2f}" for distance in self.distances],
            group=2,
        )
        return LaidOut(sheet, torch.from_numpy(self.images))


class CopyDetector:
    """Find copies of training images among samples, compared with held-out images, which cannot be copies.

    Args:
        protocol: Takes the features.
        train: Training images, uint8 (M, 3, S, S).
        val: Held-out images, at least one.
        mirrored: Whether training mirrors its images, so that a mirrored copy is a copy.
    """

    def __init__(self, protocol: Protocol, train: Images, val: Images, mirrored: bool) -> None:
        self.protocol, self.train_images, self.mirrored = protocol, train, mirrored
        self.train = protocol.real_features(train, "features of training images")
        self.val = self.nearest(val, protocol.real_features(val))

    def nearest(self, images: Images, features: Tensor) -> Nearest:
        """Find the nearest training images of images whose features are known."""
        mirrored = self.protocol.features(images[..., ::-1]) if self.mirrored else None
        return nearest_images(features, self.train, mirrored)

    def look(self, images: Images, features: Tensor) -> tuple[Memorization, ClosestPairs]:
        """Measure memorization among samples, and return the samples most like copies."""
        nearest = self.nearest(images, features)
        pairs = closest_pairs(nearest, _PAIRS)
        both = np.stack([images[pairs[:, 0]], self.train_images[pairs[:, 1]]], axis=1)
        usual = self.val.distances[:, 0].median().clamp(min=torch.finfo(torch.float64).tiny)
        distances = nearest.distances[pairs[:, 0], 0] / usual
        shown = ClosestPairs(both.reshape(-1, *images.shape[1:]), tuple(distances.tolist()))
        return memorization(nearest, self.val), shown
