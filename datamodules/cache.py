"""Images decoded once into a memory-mapped array, published whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from datamodules.decode import TRANSFORM_VERSION, ImageError, decode_image
from datamodules.index import DataError, ImageIndex, Rejected, printable

_FORMAT_VERSION = 1
_CHUNK = 32  # files per task: enough to hide the hand-over between processes, few enough for a smooth bar
_PARALLEL_FROM = 1000  # files; fewer are decoded before a worker process has started


class Transform(NamedTuple):
    """What is done to every file, apart from which file it is.

    Attributes:
        size: Side of the square in pixels.
        background: RGB colour (0 to 255) under transparent pixels.
    """

    size: int
    background: tuple[int, int, int]


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


class _Chunk(NamedTuple):
    images: npt.NDArray[np.uint8]
    rejected: list[tuple[int, str]]


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/ninelives`, or `~/.cache/ninelives` where that variable is not set."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ninelives"


def open_cache(index: ImageIndex, transform: Transform, cache_dir: Path, workers: int) -> ImageCache:
    """Open the cache of an index, after building it if it is not there.

    Several processes may do this at once: each builds under a name of its own, and the first one to finish
    publishes. Only a whole cache ever carries the final name.

    Args:
        index: The files.
        transform: What is done to each.
        cache_dir: Folder for caches; this one goes into a sub-folder named by index and transform.
        workers: Processes that decode; 0 decodes in this one.

    Returns:
        The cache, with at least one image.

    Raises:
        DataError: No file can be decoded, or the cache cannot be written.
    """
    folder = cache_dir.expanduser().resolve() / _key(index, transform)
    cache = _read(folder, index, transform)
    if cache is None:
        try:
            _build(index, transform, folder, workers)
        except OSError as error:
            raise DataError(
                f"the image cache cannot be written to {cache_dir} ({error}); make room there, "
                "or choose another place with --data.cache_dir"
            ) from error
        cache = _read(folder, index, transform)
    if cache is None:
        raise DataError(
            f"the image cache {folder} cannot be read although it was just written; is the disk sound?"
        )
    return cache


def write_report(folder: Path, rejected: Iterable[Rejected]) -> Path:
    """Write `rejected.txt` (one tab-separated path and reason a line) into a folder, replacing it at once.

    Returns:
        The report's path.
    """
    report = folder / "rejected.txt"
    text = "".join(f"{printable(path)}\t{printable(reason)}\n" for path, reason in rejected)
    if not report.exists() or report.read_text(encoding="utf-8") != text:
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".rejected-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(report)
    return report


def _key(index: ImageIndex, transform: Transform) -> str:
    parts = [index.fingerprint, transform.size, transform.background, TRANSFORM_VERSION, _FORMAT_VERSION]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _read(folder: Path, index: ImageIndex, transform: Transform) -> ImageCache | None:
    """The published cache, or None where there is none or not what it says it is."""
    try:
        facts: dict[str, Any] = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
        images = MappedImages(folder / "images.npy")
        rejected = {int(row): str(reason) for row, reason in facts["rejected"]}
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    rows = np.setdiff1d(np.arange(len(index)), np.array(sorted(rejected), dtype=np.int64))
    shape = (len(rows), 3, transform.size, transform.size)
    if images.array.dtype != np.uint8 or images.array.shape != shape:
        return None
    return ImageCache(
        folder, images, rows, tuple(Rejected(index.paths[row], rejected[row]) for row in rejected)
    )


def _build(index: ImageIndex, transform: Transform, folder: Path, workers: int) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        rejected = _write_images(temporary / "images.npy", index, transform, workers)
        if len(rejected) == len(index):
            first, reason = rejected[0]
            raise DataError(
                f"none of the {len(index)} images in {index.root} can be decoded; "
                f"the first is {printable(index.paths[first])} ({reason})"
            )
        facts = {"format": _FORMAT_VERSION, "transform": TRANSFORM_VERSION, "root": str(index.root)}
        with (temporary / "cache.json").open("w", encoding="utf-8") as file:
            json.dump({**facts, "rejected": rejected}, file)
            _flush(file)
        _publish(temporary, folder, index, transform)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the new name itself
    finally:
        os.close(descriptor)


def _write_images(path: Path, index: ImageIndex, transform: Transform, workers: int) -> list[tuple[int, str]]:
    """Decode every file of the index into one .npy; return the rows that cannot be, with reasons."""
    rejected: list[tuple[int, str]] = []
    kept = 0
    with path.open("wb") as file, tqdm(total=len(index), desc="decoding images", unit="image") as bar:
        _write_header(file, len(index), transform.size)
        # Closed at once on an error, which cancels the tasks still queued.
        with closing(_decode_all(index, transform, workers)) as chunks:
            for chunk in chunks:
                file.write(chunk.images.tobytes())
                kept += len(chunk.images)
                rejected += chunk.rejected
                bar.update(len(chunk.images) + len(chunk.rejected))
        file.seek(0)
        _write_header(file, kept, transform.size)
        _flush(file)
    return rejected


def _write_header(file: BinaryIO, count: int, size: int) -> None:
    """Write the .npy header; NumPy pads it so that it takes the same room for every count."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, size, size)}
    np.lib.format.write_array_header_1_0(file, header)


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _decode_all(index: ImageIndex, transform: Transform, workers: int) -> Generator[_Chunk, None, None]:
    starts = range(0, len(index), _CHUNK)
    tasks = [(index.root, start, index.paths[start : start + _CHUNK], transform) for start in starts]
    if workers == 0 or len(index) < _PARALLEL_FROM:
        yield from map(_decode_chunk, tasks)
        return
    # Spawned, not forked: the caller may hold threads and locks, which a fork would copy in any state.
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(_decode_chunk, tasks)
        except BrokenProcessPool as error:
            raise DataError(
                "a process that decoded images was ended from outside, probably for want of memory; "
                "try again with fewer --data.workers"
            ) from error


def _decode_chunk(task: tuple[Path, int, tuple[str, ...], Transform]) -> _Chunk:
    root, start, paths, transform = task
    images, rejected = [], []
    for row, path in enumerate(paths, start):
        try:
            images.append(decode_image(root / path, transform.size, transform.background))
        except ImageError as error:
            rejected.append((row, error.reason))
    stacked = np.stack(images) if images else np.empty((0, 3, transform.size, transform.size), np.uint8)
    return _Chunk(stacked, rejected)
