"""Caches of the tests: 8 px, a few blocks of images."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.cache import build as cache_build
from datamodules.cache import format as cache_format
from datamodules.cache.cache import ImageCache, open_cache
from datamodules.cache.pixels import Transform
from datamodules.decode.decode import decode_image
from datamodules.index.index import ImageIndex

TRANSFORM = Transform(8, (255, 255, 255))
BLOCK = cache_format.BLOCK_FILES
FILES = 3 * BLOCK + 4


def build(index: ImageIndex, cache_dir: Path, workers: int = 0) -> ImageCache:
    return open_cache(index, TRANSFORM, cache_dir, workers)


def published(cache_dir: Path) -> list[Path]:
    return [path for path in cache_dir.iterdir() if not path.name.startswith(".")]


def leftovers(cache_dir: Path) -> list[str]:
    """What is neither a cache nor the lock of one."""
    return [p.name for p in cache_dir.iterdir() if p.name.startswith(".") and p.suffix != ".lock"]


def expected_images(index: ImageIndex) -> np.ndarray:
    return np.stack([decode_image(index.root / path, 8) for path in index.paths])


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are decoded from now on."""
    seen: list[str] = []
    decode = cache_build._decode_block
    monkeypatch.setattr(cache_build, "_decode_block", lambda task: (seen.extend(task.paths), decode(task))[1])
    return seen


def flip_a_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
