from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from datamodules.utils.io import whole_file


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

    The file is whole or not there.
    """
    picture = _picture(image, scale)
    with whole_file(path) as temporary:
        picture.save(temporary, format="PNG")


def save_gif(frames: Sequence[Tensor], path: Path, scale: int = 1, frame_ms: int = 100) -> None:
    """Write images, each uint8 (3, H, W), as an animation that repeats and rests on its last frame.

    The file is whole or not there.

    Args:
        frames: The animation's images.
        path: Where to write it.
        scale: Each pixel becomes a square of `scale` pixels.
        frame_ms: Milliseconds that a frame stands; the last stands for 15 times as long.
    """
    pictures = [_picture(frame, scale) for frame in frames]
    durations = [frame_ms] * (len(pictures) - 1) + [15 * frame_ms]
    with whole_file(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0
        )


def _picture(image: Tensor, scale: int) -> Image.Image:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if scale == 1:
        return picture
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
