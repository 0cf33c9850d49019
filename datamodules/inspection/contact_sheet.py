"""Images as the model sees them, on one sheet."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from datamodules.decode.decode import ImageError, Limits, decode_image
from datamodules.index.index import ImageIndex

_WIDTH = 1280  # pixels that the sheet is about as wide as
_GAP = 2


def contact_sheet(
    index: ImageIndex, rows: npt.NDArray[np.int64], size: int, limits: Limits, pad: bool, count: int = 96
) -> Image.Image:
    """Lay out evenly chosen images, cropped and resized as for training, each pixel as a whole square.

    Args:
        index: The files.
        rows: Rows to choose from, (M,) int64.
        size: Side of the images in pixels.
        limits: What is refused for its size.
        pad: Make images square with bars instead of cutting.
        count: Number of images at most.
    """
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64))
    images = []
    for row in rows[chosen].tolist():
        with contextlib.suppress(ImageError):  # it vanished since it was looked at
            images.append(decode_image(index.root / index.paths[row], size, limits=limits, pad=pad))
    columns = max(1, min(len(images), math.ceil(math.sqrt(1.5 * len(images)))))
    scale = max(1, _WIDTH // (columns * size))
    cell = size * scale + _GAP
    sheet = Image.new(
        "RGB", (columns * cell + _GAP, max(1, -(-len(images) // columns)) * cell + _GAP), "white"
    )
    for number, image in enumerate(images):
        tile = Image.fromarray(image.transpose(1, 2, 0))
        large = tile.resize((size * scale, size * scale), Image.Resampling.NEAREST)
        sheet.paste(large, (_GAP + number % columns * cell, _GAP + number // columns * cell))
    return sheet
