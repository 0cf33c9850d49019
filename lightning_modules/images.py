from __future__ import annotations

import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Round images from [-1, 1] to 0..255, clipping what lies outside; any shape, result uint8 on the CPU."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def image_grid(images: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Lay images out row by row on white.

    Args:
        images: uint8, (B, 3, H, W).
        columns: Images in a row.
        gap: Pixels between images.

    Returns:
        One image, uint8, (3, rows * H + (rows - 1) * gap, columns * W + (columns - 1) * gap).
    """
    count, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    grid = images.new_full((rows * columns, channels, height + gap, width + gap), 255)
    grid[:count, :, :height, :width] = images
    grid = grid.view(rows, columns, channels, height + gap, width + gap).permute(2, 0, 3, 1, 4)
    return (
        grid.reshape(channels, rows * (height + gap), -1)[:, :-gap, :-gap]
        if gap
        else grid.reshape(channels, rows * height, -1)
    )


def viewing_scale(image_size: int) -> int:
    """Return the whole factor that brings images of `image_size` pixels near 128, to be looked at."""
    return max(1, 128 // image_size)


def save_png(image: Tensor, path: Path, scale: int = 1) -> None:
    """Write an image, uint8 (3, H, W), as PNG, each pixel as a square of `scale` pixels.

    The file is whole or not there: it is written under a temporary name and renamed.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    picture.save(temporary, format="PNG")
    temporary.replace(path)
