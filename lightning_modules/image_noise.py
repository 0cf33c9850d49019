from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_modules.randomness import Stream, fold


class ImageNoise:
    """Noise for sampling, of which each image has a stream of its own.

    Image `i` gets the same draws whatever the batch it is in, the batch size and the device: the draws are
    made on the CPU from a generator seeded with `(seed, i)`. After Karras et al.'s per-image seeds.

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
