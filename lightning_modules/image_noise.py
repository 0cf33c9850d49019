from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.randomness import fold


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
        self._generators = [torch.Generator().manual_seed(fold(seed, index)) for index in indices]
        self._shape = shape
        self._device = torch.device(device)

    def __call__(self) -> Tensor:
        """Return the next draw of N(0, I), (B, C, H, W), float32."""
        draws = [torch.randn(self._shape, generator=generator) for generator in self._generators]
        return torch.stack(draws).to(self._device)
