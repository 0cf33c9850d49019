"""Sampled images in memory, as a notebook shows them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.sampling.generate import SampledBatch
from lightning_modules.sampling.store import SampledFolder

_SHOWN = 100
"""A sheet shows at most so many images."""


class SampledImages(Sequence[Image.Image]):
    """Some images; a notebook shows them as one picture with the names of their classes.

    Args:
        pixels: The images, (N, 3, H, W) uint8, on the CPU.
        condition: What was asked of each.
        conditioner: Knows what that means.
    """

    def __init__(self, pixels: Tensor, condition: Condition, conditioner: Conditioner) -> None:
        self._pixels = pixels
        self._condition = condition
        self._conditioner = conditioner

    def __len__(self) -> int:
        return len(self._pixels)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> SampledImages: ...

    def __getitem__(self, index: int | slice) -> Image.Image | SampledImages:
        if isinstance(index, slice):
            return SampledImages(self._pixels[index], self._condition[index], self._conditioner)
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} images, and none has the number {index}")
        return Image.fromarray(self.array[index])

    def __iter__(self) -> Iterator[Image.Image]:
        return (Image.fromarray(pixels) for pixels in self.array)

    def __repr__(self) -> str:
        height, width = self._pixels.shape[-2:]
        return f"<{len(self)} sampled images of {width} x {height} px>"

    @property
    def array(self) -> NDArray[np.uint8]:
        """The images, (N, H, W, 3) uint8."""
        array: NDArray[np.uint8] = self._pixels.permute(0, 2, 3, 1).contiguous().numpy()
        return array

    @property
    def labels(self) -> list[Any]:
        """What was asked of each image: the name of its class, and None for no class."""
        return self._conditioner.written(self._condition)

    def sheet(self) -> Image.Image:
        """Return the images side by side, of more than a hundred the first."""
        shown = min(len(self), _SHOWN)
        captions = self._conditioner.captions(self._condition[:shown])
        sheet = Sheet(math.ceil(math.sqrt(shown)), captions=captions)
        return Image.fromarray(sheet.draw(self._pixels[:shown]).permute(1, 2, 0).contiguous().numpy())

    def save(self, folder: str | Path) -> Path:
        """Write the images as 00000.png, 00001.png, and so on, and return the folder."""
        folder = Path(folder)
        SampledFolder(folder).add(SampledBatch(range(len(self)), self._condition, self._pixels))
        return folder

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows."""
        if not len(self):
            return None
        file = io.BytesIO()
        self.sheet().save(file, "PNG")
        return file.getvalue()
