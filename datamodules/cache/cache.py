"""Images decoded once into a memory-mapped array, published whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datamodules.cache.build import build, forget_build, holds_images
from datamodules.cache.format import cache_key, check_images, read_blocks
from datamodules.cache.pixels import MappedImages, Transform
from datamodules.index.index import DataError, ImageIndex, Rejected, printable
from datamodules.utils.io import sync_folder, write_text
from datamodules.utils.locks import lock, open_to_lock
from datamodules.utils.places import cache_place, default_cache_dir

__all__ = ["ImageCache", "default_cache_dir", "open_cache", "write_report"]

_log = logging.getLogger(__name__)

_NOT_ITS_FAULT = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Errors of reading that say nothing of what is read: no memory, too many open files."""


@dataclass(frozen=True, eq=False)
class ImageCache:
    """Decoded images of an index.

    Attributes:
        folder: Where the cache lies.
        images: The decodable images in the order of the index, (M, 3, S, S) uint8.
        rows: Row of the index of each, (M,) int64, ascending.
        rejected: The other files, with reasons.
    """

    folder: Path
    images: MappedImages
    rows: npt.NDArray[np.int64]
    rejected: tuple[Rejected, ...]


def open_cache(index: ImageIndex, transform: Transform, cache_dir: Path | str, workers: int) -> ImageCache:
    """Open the cache of an index, after building it if it is not there or is damaged.

    Of several processes that do this at once, one builds and the others wait for it. Only a whole cache ever
    carries the final name. A build that was killed is continued by the next one.

    Args:
        index: The files.
        transform: What is done to each.
        cache_dir: Folder for caches; this one goes into a sub-folder named by index and transform.
        workers: Processes that decode; 0 decodes in threads of this one.

    Returns:
        The cache, with at least one image.

    Raises:
        DataError: No file can be decoded, there is no room, or the cache cannot be written.
    """
    try:
        folder = cache_place(cache_dir) / cache_key(index, transform)
    except OSError as error:
        raise _unwritable(cache_dir, error) from error
    cache = _read(folder, index, transform)
    if cache is None:
        try:
            cache = _build_and_publish(index, transform, folder, workers)
        except OSError as error:
            raise _unwritable(cache_dir, error) from error
    if cache is None:
        raise DataError(
            f"the image cache {folder} cannot be read although it was just written; is the disk sound?"
        )
    return cache


def _unwritable(cache_dir: Path | str, error: OSError) -> DataError:
    return DataError(
        f"the image cache cannot be written to {cache_dir} ({error}); make room there or choose another "
        "place with the variable XDG_CACHE_HOME (in training also --data.cache_dir, or --data.cache false "
        "to do without)"
    )


def write_report(folder: Path, rejected: Iterable[Rejected]) -> Path:
    """Write `rejected.txt` (one tab-separated path and reason a line) into a folder, replacing it at once.

    Returns:
        The report's path.
    """
    report = folder / "rejected.txt"
    text = "".join(f"{printable(path)}\t{printable(reason)}\n" for path, reason in rejected)
    if not report.exists() or report.read_text(encoding="utf-8") != text:
        write_text(report, text)
    return report


def _read(folder: Path, index: ImageIndex, transform: Transform) -> ImageCache | None:
    """The published cache, or None if it is missing or damaged."""
    if not folder.is_dir():
        return None
    try:
        blocks = read_blocks(folder, folder.name)
        images = check_images(folder, blocks, len(index), transform)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NOT_ITS_FAULT:
            raise
        _log.warning("the image cache %s is damaged (%s); it is rebuilt", folder, error)
        return None
    rejected = {row: reason for block in blocks for row, reason in block.rejected}
    rows = np.setdiff1d(np.arange(len(index)), np.array(sorted(rejected), dtype=np.int64))
    left_out = tuple(Rejected(index.paths[row], reason) for row, reason in rejected.items())
    return ImageCache(folder, images, rows, left_out)


def _build_and_publish(
    index: ImageIndex, transform: Transform, folder: Path, workers: int
) -> ImageCache | None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder) as alone:
        if alone and (cache := _read(folder, index, transform)):
            return cache  # another process built it while this one waited
        temporary = folder.with_name(f".{folder.name}.building")
        if not alone:
            temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{temporary.name}-"))
        try:
            build(index, transform, temporary, folder.name, workers)
            _publish(temporary, folder, index, transform)
            forget_build(folder)
        finally:
            if not (alone and holds_images(temporary)):  # else the next attempt goes on from there
                shutil.rmtree(temporary, ignore_errors=True)
        return _read(folder, index, transform)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Wait until no other process builds this cache; false where the file system cannot lock."""
    place = folder.with_name(f".{folder.name}.lock")
    descriptor = open_to_lock(place)

    def busy() -> None:
        _log.warning("another process is decoding these images into %s; waiting for it", folder)

    try:
        yield lock(descriptor, place, "each process decodes for itself", busy)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, folder: Path, index: ImageIndex, transform: Transform) -> None:
    """Rename the finished cache to its final name, unless another process was first."""
    try:
        temporary.rename(folder)
    except OSError:
        if _read(folder, index, transform) is not None:
            return
        # What carries the name is damaged. Readers that still map it keep their copy until they close it.
        damaged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-damaged-"))
        try:
            folder.rename(damaged)
            temporary.rename(folder)
        except OSError:  # another process replaced it between the two
            if _read(folder, index, transform) is None:
                raise
        finally:
            shutil.rmtree(damaged, ignore_errors=True)
    sync_folder(folder.parent)
