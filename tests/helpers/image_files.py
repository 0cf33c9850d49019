"""Image files of many kinds, made on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decode.decode import ImageError, Limits, decode_image

RED, GREEN, BLUE, GRAY = (220, 30, 40), (20, 200, 60), (30, 50, 210), (120, 120, 120)


def quadrants(width: int = 96, height: int = 64) -> Image.Image:
    """Red and green above, blue and gray below: no two orientations of it are alike."""
    image = Image.new("RGB", (width, height))
    for color, corner in zip((RED, GREEN, BLUE, GRAY), ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        left, top = corner[0] * width // 2, corner[1] * height // 2
        image.paste(color, (left, top, left + width // 2, top + height // 2))
    return image


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    """Colors in the middle of the four quadrants of a (3, S, S) image, row by row."""
    near, far = pixels.shape[1] // 4, 3 * pixels.shape[1] // 4
    return [tuple(map(int, pixels[:, y, x])) for y in (near, far) for x in (near, far)]


def assert_color(found: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 2) -> None:
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= tolerance, (found, wanted)


def save(image: Image.Image, path: Path, file_format: str, exif: Image.Exif | None = None) -> Path:
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    image.save(path, file_format, exif=exif or Image.Exif(), **options)
    return path


def reason_of(path: Path, *limits: Limits) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(path, 8, (255, 255, 255), *limits)
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    assert "\n" not in caught.value.reason
    return caught.value.reason


def noise(path: Path, file_format: str) -> bytes:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8))
    return save(image, path, file_format).read_bytes()


def touch(root: Path, *names: str) -> Path:
    """Files whose content is their name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(name))
    return root
