"""Where the pixels of an index come from: a memory map of decoded images, or the files themselves."""

from __future__ import annotations

import logging
import mmap
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from datamodules.decode.decode import ImageError, Limits, decode_image
from datamodules.index.index import DataError, ImageIndex, printable

_log = logging.getLogger(__name__)


class Transform(NamedTuple):
    """What is done to every file, apart from which file it is.

    Attributes:
        size: Side of the square in pixels.
        background: RGB color (0 to 255) under transparent pixels, and around a padded image.
        crop: `center` cuts out the central square, `pad` makes the image square with bars of `background`.
        limits: What is refused for its size.
    """

    size: int
    background: tuple[int, int, int]
    crop: Literal["center", "pad"] = "center"
    limits: Limits = Limits()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def decode(self, path: Path, content_hash: bytes | None = None) -> npt.NDArray[np.uint8]:
        """Decode one file, uint8 of `shape`.

        Args:
            path: The file.
            content_hash: What the index says of its content.

        Raises:
            ChangedFileError: It has another content.
            ImageError: The file cannot be decoded.
        """
        return decode_image(path, self.size, self.background, self.limits, self.crop == "pad", content_hash)


class Images(Protocol):
    """Images by row."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, 3, S, S)."""
        ...

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Copy the images of rows (B,) into a writable array, (B, 3, S, S)."""
        ...


class MappedImages:
    """Images in a file, read where they are used; it travels to another process as the path alone.

    Args:
        path: A `.npy` file of uint8 (M, 3, S, S).

    Attributes:
        array: The images, (M, 3, S, S) uint8, read-only and memory-mapped.

    Raises:
        OSError, ValueError: The file is missing or is not a whole `.npy` file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.array: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)

    def __reduce__(self) -> tuple[type[MappedImages], tuple[Path]]:
        return MappedImages, (self.path,)

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, 3, S, S)."""
        return self.array.shape

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Copy the images of rows (B,), (B, 3, S, S)."""
        return np.asarray(self.array[rows])

    def load(self) -> None:
        """Copy the images into this process's memory, and read them from there from now on."""
        if isinstance(self.array, np.memmap):
            self.array = np.array(self.array)
            self.array.setflags(write=False)

    def preload(self) -> None:
        """Ask the system to read the whole file into memory, in the background and once for all processes."""
        mapping = mapping_of(self.array)
        if mapping is not None and hasattr(mmap, "MADV_WILLNEED"):
            mapping.madvise(mmap.MADV_WILLNEED)


def mapping_of(array: npt.NDArray[np.uint8]) -> mmap.mmap | None:
    """Return the memory map that an array shows a part of, or none where it is in memory."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


class DecodedImages:
    """Images that are decoded each time they are asked for: no disk space, and slow.

    Which files cannot be decoded turns out on the way. Such a file is named once, and its row gives the image
    of the next row that can be decoded (the first one after the last), which depends on the files alone.

    Args:
        index: The files.
        transform: What is done to each.
    """

    def __init__(self, index: ImageIndex, transform: Transform) -> None:
        self.index, self.transform = index, transform
        self._damaged: set[int] = set()

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, 3, S, S)."""
        return len(self.index), *self.transform.shape

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Decode the images of rows (B,), (B, 3, S, S).

        Raises:
            DataError: No file of the index can be decoded.
        """
        images = np.empty((len(rows), *self.transform.shape), np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            image[...] = self._decode(row)
        return images

    def _decode(self, row: int) -> npt.NDArray[np.uint8]:
        n = len(self.index)
        for at in ((row + step) % n for step in range(n)):
            if at in self._damaged:
                continue
            path = self.index.paths[at]
            try:
                return self.transform.decode(self.index.root / path, self.index.hashes[at].tobytes())
            except ImageError as error:
                name = printable(path)
                _log.warning("%s cannot be decoded (%s); the next image stands in", name, error.reason)
                self._damaged.add(at)
        raise DataError(f"none of the {n} images in {self.index.root} can be decoded")
