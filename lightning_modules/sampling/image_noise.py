from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_modules.utils.seeds import Stream, fold


class ImageNoise:
    """Noise for sampling, of which each image has a stream of its own.

    Image `i` gets the same noise in any batch, of any size, on any device: it is drawn on the
    CPU from a generator seeded with `(seed, i)`. After Karras et al.'s per-image seeds.

    Args:
        seed: Seed of the whole set of images.
        indices: Numbers of this batch's images in the set, B of them.
        shape: (C, H, W) of one image.
        device: Where the draws are wanted.
    """

    def __init__(
        self,
        seed: int,
        indices: Sequence[int],
        shape: tuple[int, int, int],
        device: torch.device | str = "cpu",
    ) -> None:
        # Not torch's CPU generator: it takes 32 bits of a seed, and among 50,000 images two would be twins.
        self._generators = [np.random.default_rng(fold(seed, Stream.IMAGE, index)) for index in indices]
        self._shape = shape
        self._device = torch.device(device)

    def __call__(self) -> Tensor:
        """Return the next draw of N(0, I), (B, C, H, W), float32."""
        draws = [generator.standard_normal(self._shape, np.float32) for generator in self._generators]
        return torch.from_numpy(np.stack(draws)).to(self._device)


class InterpolatedNoise:
    """Noise on the way from one set of streams to another, along great circles (Shoemake 1985, "slerp").

    The length of each draw is kept between those of its ends, as that of N(0, I) is nearly the same for all
    images, so that what lies between is as likely as the ends; on a straight line it would be too short.

    Args:
        first: Streams of B images.
        second: Streams of as many.
        shares: How far each image is on its way, (B,), 0 is `first` and 1 is `second`.
    """

    def __init__(self, first: ImageNoise, second: ImageNoise, shares: Tensor) -> None:
        self._ends = first, second
        self._shares = shares

    def __call__(self) -> Tensor:
        """Return the next draw, (B, C, H, W), float32."""
        start, end = (noise() for noise in self._ends)
        return slerp(start, end, self._shares.to(start.device))


def slerp(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Interpolate between tensors (B, ...) along the great circle through each pair, by `shares` (B,)."""
    cosine = torch.nn.functional.cosine_similarity(start.flatten(1), end.flatten(1), dim=1)
    angle = torch.arccos(cosine.clamp(-1, 1))
    shape = (-1, *[1] * (start.ndim - 1))
    near, far = ((share * angle).sin() / angle.sin() for share in (1 - shares, shares))
    return near.reshape(shape) * start + far.reshape(shape) * end
