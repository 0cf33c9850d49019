"""The embedded data set: labeled cat faces, rendered on first use, as an ordinary folder of images."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.sources.cat_painter import paint_cat
from datamodules.sources.cat_traits import BREEDS, sample_traits
from datamodules.sources.source import DataSource
from datamodules.utils.io import publish
from datamodules.utils.places import as_path
from datamodules.utils.progress import progress

__all__ = ["BREEDS", "RENDERING_VERSION", "RenderedCats", "render_cat"]

RENDERING_VERSION = 1  # raise it when the same seed renders other pixels, so that no old folder is reused
_STALE_SECONDS = 24 * 3600.0
_SMALLEST_SIZE = 8


def render_cat(breed: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Render one cat face.

    Args:
        breed: one of `BREEDS`.
        size: pixels per side, at least 8.
        rng: where every random choice comes from.

    Returns:
        An RGB picture of size x size pixels.

    Raises:
        ValueError: the breed is unknown or the size too small.
    """
    if breed not in BREEDS:
        raise ValueError(f"unknown breed {breed!r}: choose one of {', '.join(BREEDS)}")
    if size < _SMALLEST_SIZE:
        raise ValueError(f"size must be at least {_SMALLEST_SIZE} pixels, not {size}")
    return paint_cat(sample_traits(breed, rng), size, rng)


class RenderedCats(DataSource):
    """Cat faces rendered on first use, one sub-folder per breed.

    Image i is a pure function of (seed, i), so a larger data set begins with the images of a smaller one.

    Args:
        count: how many images, shared evenly among the breeds.
        size: pixels per side, at least 8.
        seed: another seed renders other cats.
        folder: where the data set's own folder is made.

    Raises:
        ValueError: count, size or seed is out of range.
    """

    def __init__(self, count: int = 2000, size: int = 64, seed: int = 0, folder: str | Path = "data") -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        if size < _SMALLEST_SIZE:
            raise ValueError(f"size must be at least {_SMALLEST_SIZE} pixels, not {size}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, but is {seed}")
        self.count = count
        self.size = size
        self.seed = seed
        self.folder = as_path("--data.source.init_args.folder", folder) or Path()

    @property
    def target(self) -> Path:
        """The folder that `prepare` publishes."""
        return self.folder / f"rendered-cats-{self.count}x{self.size}-seed{self.seed}-v{RENDERING_VERSION}"

    def prepare(self) -> Path:
        """Render the images unless they are already there, and return their folder."""
        if self._is_published():
            return self.target
        self.folder.mkdir(parents=True, exist_ok=True)
        prefix = f".{self.target.name}-"
        self._remove_stale(prefix)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self.folder) as workshop:
            # A folder inside, because the temporary one itself can be read by its owner alone.
            draft = Path(workshop) / "images"
            self._draw_all(draft)
            try:
                publish(draft, self.target)
            except OSError:
                if not self._is_published():  # if so, another process was faster, with the same images
                    raise
        return self.target

    def _is_published(self) -> bool:
        return self.target.is_dir() and any(self.target.iterdir())

    def _draw_all(self, draft: Path) -> None:
        for breed in BREEDS[: self.count]:
            (draft / breed).mkdir(parents=True)
        for i in progress(range(self.count), desc="rendering cats", unit="cat", mininterval=0.5):
            breed = BREEDS[i % len(BREEDS)]
            image = render_cat(breed, self.size, np.random.default_rng((self.seed, i)))
            image.save(draft / breed / f"{i:05d}.png")
        if hasattr(os, "sync"):
            os.sync()  # the files reach the disk before the name that vouches for them

    def _remove_stale(self, prefix: str) -> None:
        """Remove what killed builds of this very data set left behind more than a day ago."""
        for leftover in self.folder.glob(f"{prefix}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(leftover, ignore_errors=True)
