"""What there is to know of each image file, found by looking at it once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from datamodules.decode.color import plain, to_srgb
from datamodules.decode.decode import ORIENTATIONS, ImageError, Limits, open_image, orientation, upright_size
from datamodules.errors import Rejected
from datamodules.index.duplicates import perceptual_hash
from datamodules.index.index import ImageIndex
from datamodules.utils.workers import Workers

_LOOK = 64  # pixels a side at which an image is looked at: what the perceptual hash takes
_DARK_MEAN, _DARK_PEAK = 10.0, 40  # of 255: a black bar after JPEG compression and a resize
_STEP = 12.0  # the picture next to a bar is at least this much brighter, or it is a dark picture
_CHUNK = 32
_PARALLEL_FROM = 500  # files; fewer are looked at before a worker process has started


class ImageFacts(NamedTuple):
    """One decodable image.

    Attributes:
        width: Pixels, upright.
        height: Pixels, upright.
        mode: Pillow's name of its pixels' type.
        file_format: What its content is, regardless of its extension.
        borders: Shares of the width and height that black bars take at the left, top, right and bottom.
        contrast: Standard deviation of its brightness, 0 to 127.5.
        perceptual: Perceptual hash, 32 bytes.
    """

    width: int
    height: int
    mode: str
    file_format: str
    borders: tuple[float, float, float, float]
    contrast: float
    perceptual: bytes


class Inspected(NamedTuple):
    """The files of an index that were looked at.

    Attributes:
        rows: Rows of the index that can be decoded, (M,) int64, ascending.
        facts: Of each of these.
        rejected: The others that were looked at, with reasons.
    """

    rows: npt.NDArray[np.int64]
    facts: list[ImageFacts]
    rejected: list[Rejected]


def inspect_images(
    index: ImageIndex,
    rows: npt.NDArray[np.int64],
    limits: Limits,
    workers: int,
    progress: Callable[[int], object],
) -> Inspected:
    """Look at files of an index.

    Args:
        index: The files.
        rows: Which of them, ascending.
        limits: What is refused for its size.
        workers: Processes that decode; 0 decodes in this one.
        progress: Told how many more files are done, again and again.
    """
    decodable, facts, rejected = [], [], []
    with closing(_look_at_all(index, rows, limits, workers)) as chunks:
        for chunk in chunks:
            for row, found in chunk:
                if isinstance(found, ImageFacts):
                    decodable.append(row)
                    facts.append(found)
                else:
                    rejected.append(Rejected(index.paths[row], found))
            progress(len(chunk))
    return Inspected(np.array(decodable, dtype=np.int64), facts, rejected)


def look_at(path: Path, limits: Limits) -> ImageFacts:
    """Look at one file.

    Raises:
        ImageError: It cannot be decoded.
    """
    with open_image(path, limits) as image:
        width, height = upright_size(image)
        mode, file_format = image.mode, image.format or "?"
        image.draft(None, (2 * _LOOK, 2 * _LOOK))
        image.load()
        turn = ORIENTATIONS.get(orientation(image))
        small = plain(image).resize((_LOOK, _LOOK), Image.Resampling.BICUBIC, reducing_gap=2.0)
        gray = to_srgb(small, (255, 255, 255)).convert("L")
        pixels = np.asarray(gray if turn is None else gray.transpose(turn))
    return ImageFacts(
        width,
        height,
        mode,
        file_format,
        _borders(pixels),
        float(pixels.std()),
        perceptual_hash(pixels).tobytes(),
    )


def _look_at_all(
    index: ImageIndex, rows: npt.NDArray[np.int64], limits: Limits, workers: int
) -> Generator[list[tuple[int, ImageFacts | str]], None, None]:
    parts = (rows[start : start + _CHUNK].tolist() for start in range(0, len(rows), _CHUNK))
    tasks = ((index.root, part, [index.paths[row] for row in part], limits) for part in parts)
    if workers == 0 or len(rows) < _PARALLEL_FROM:
        yield from map(_look_at_chunk, tasks)
        return
    # Spawned, not forked: the caller may hold threads and locks, which a fork would copy in any state.
    pool = Workers(_look_at_chunk, workers, "--workers", method="spawn")
    try:
        yield from pool.results(tasks)
    finally:
        pool.close()


def _look_at_chunk(
    task: tuple[Path, Sequence[int], Sequence[str], Limits],
) -> list[tuple[int, ImageFacts | str]]:
    root, rows, paths, limits = task
    found: list[tuple[int, ImageFacts | str]] = []
    for row, path in zip(rows, paths, strict=True):
        try:
            found.append((row, look_at(root / path, limits)))
        except ImageError as error:
            found.append((row, error.reason))
    return found


def _borders(gray: npt.NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Shares that black bars take at the left, top, right and bottom of a picture."""
    return _bar(gray.T), _bar(gray), _bar(gray.T[::-1]), _bar(gray[::-1])


def _bar(lines: npt.NDArray[np.uint8]) -> float:
    """Share of the lines from the first on that are black, if the picture is brighter behind them."""
    means = lines.mean(axis=1)
    bright = np.flatnonzero((means > _DARK_MEAN) | (lines.max(axis=1) > _DARK_PEAK))
    if not bright.size or bright[0] == 0:
        return 0.0
    # One line may be half bar, half picture: the step is complete two lines further on.
    step = means[min(bright[0] + 2, len(means) - 1)] - means[bright[0] - 1]
    return float(bright[0] / len(lines)) if step >= _STEP else 0.0
