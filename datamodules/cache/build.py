"""Decode the files of an index into a cache, going on where a killed build ended."""

from __future__ import annotations

import os
import shutil
import warnings
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from datamodules.cache.format import (
    BLOCK_FILES,
    FORMAT_VERSION,
    HEADER,
    IMAGES,
    Block,
    as_block,
    digest,
    header_text,
    sealed,
    unsealed,
    write_array_header,
)
from datamodules.cache.pixels import Transform
from datamodules.decode.decode import ChangedFileError, ImageError
from datamodules.index.index import DataError, ImageIndex, printable
from datamodules.utils.io import sync
from datamodules.utils.progress import progress
from datamodules.utils.workers import Workers

_JOURNAL = "journal"
_PARALLEL_FROM = 1000  # files; fewer are decoded before a worker process has started
_MOST_THREADS = 8  # beyond, they wait for Python's lock
_ARRAY_HEADER = 128  # bytes before the first image
_SPARE_BYTES = 2**20  # for the header and the journal


class _Decoded(NamedTuple):
    images: npt.NDArray[np.uint8]
    rejected: tuple[tuple[int, str], ...]


class _Task(NamedTuple):
    root: Path
    first_row: int
    paths: tuple[str, ...]
    hashes: npt.NDArray[np.uint8]
    transform: Transform


def build(index: ImageIndex, transform: Transform, folder: Path, key: str, workers: int) -> None:
    """Make a whole cache in a folder that nobody else writes to.

    Each finished block is noted in a journal together with its digest. What a killed build left is compared
    with the journal and kept up to the first byte that differs.

    Args:
        index: The files.
        transform: What is done to each.
        folder: Where to build; not yet the cache's final name.
        key: The cache's key.
        workers: Processes that decode; 0 decodes in threads of this one, one per core.

    Raises:
        DataError: No file can be decoded, or the disk has no room.
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    journal_path, images_path = folder / _JOURNAL, folder / IMAGES
    journal_path.touch()
    images_path.touch()
    with journal_path.open("r+b") as journal, images_path.open("r+b") as images:
        start = write_array_header(images, len(index), transform)
        blocks = _verified_blocks(journal, images, key, transform, len(index))
        images.truncate(images.seek(start + sum(block.kept for block in blocks) * _image_bytes(transform)))
        _require_room(folder, len(index) - len(blocks) * BLOCK_FILES, transform)
        blocks += _decode_rest(index, transform, workers, blocks, images, journal)
        kept = sum(block.kept for block in blocks)
        if not kept:
            first, reason = blocks[0].rejected[0]
            raise DataError(
                f"none of the {len(index)} images in {index.root} can be decoded; "
                f"the first is {printable(index.paths[first])} ({reason})"
            )
        images.seek(0)
        write_array_header(images, kept, transform)
        sync(images)
    with (folder / HEADER).open("w", encoding="utf-8") as file:
        file.write(header_text(key, blocks))
        sync(file)


def forget_build(folder: Path) -> None:
    """Remove what a published cache needs no more."""
    (folder / _JOURNAL).unlink(missing_ok=True)


def holds_images(folder: Path) -> bool:
    """Whether a build has got so far that continuing is better than starting over."""
    try:
        return (folder / IMAGES).stat().st_size > _ARRAY_HEADER
    except OSError:
        return False


def _image_bytes(transform: Transform) -> int:
    return int(np.prod(transform.shape))


def _require_room(folder: Path, files: int, transform: Transform) -> None:
    needed = files * _image_bytes(transform) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{files} images of {transform.size} pixels need {needed / 1e9:.2f} GB in {folder.parent}, where "
            f"{free / 1e9:.2f} GB are free; make room there or choose another place with the variable "
            "XDG_CACHE_HOME (in training also --data.cache_dir, or --data.cache false to do without)"
        )


def _verified_blocks(
    journal: BinaryIO, images: BinaryIO, key: str, transform: Transform, files: int
) -> list[Block]:
    """Blocks of an earlier build whose images are really there; leaves the journal at their end.

    `images` stands at its first image.
    """
    blocks: list[Block] = []
    opening = (sealed([FORMAT_VERSION, key, BLOCK_FILES]) + "\n").encode()
    if journal.readline() == opening:
        good = journal.tell()
        with progress(total=files, desc="checking what was decoded before", unit="image", delay=2.0) as bar:
            while line := journal.readline():
                try:
                    block = as_block(unsealed(line.decode().removesuffix("\n")))
                except ValueError:
                    break
                if not line.endswith(b"\n") or digest(images.read(block.kept * _image_bytes(transform))) != (
                    block.digest
                ):
                    break
                blocks.append(block)
                good = journal.tell()
                bar.update(BLOCK_FILES)
        journal.truncate(journal.seek(good))
    else:
        journal.truncate(journal.seek(0))
        journal.write(opening)
    return blocks


def _decode_rest(
    index: ImageIndex,
    transform: Transform,
    workers: int,
    done: list[Block],
    images: BinaryIO,
    journal: BinaryIO,
) -> list[Block]:
    """Decode what is not done, and append it to the images and to the journal."""
    blocks: list[Block] = []
    before = min(len(done) * BLOCK_FILES, len(index))
    tasks = [
        _Task(
            index.root,
            row,
            index.paths[row : row + BLOCK_FILES],
            index.hashes[row : row + BLOCK_FILES],
            transform,
        )
        for row in range(before, len(index), BLOCK_FILES)
    ]
    with (
        progress(total=len(index), initial=before, desc="decoding images", unit="image") as bar,
        closing(_decode_all(tasks, workers)) as results,  # closed on an error, which cancels what is queued
    ):
        for result in results:
            pixels = result.images.tobytes()
            block = Block(len(result.images), digest(pixels), result.rejected)
            images.write(pixels)
            images.flush()  # before the journal says so
            journal.write((sealed(block) + "\n").encode())
            journal.flush()
            blocks.append(block)
            bar.update(block.kept + len(block.rejected))
    return blocks


def _decode_all(tasks: list[_Task], workers: int) -> Generator[_Decoded, None, None]:
    if not tasks:
        return
    if workers == 0 or len(tasks) * BLOCK_FILES < _PARALLEL_FROM:
        results = _decode_in_threads(tasks)
    else:
        # Spawned, not forked: the caller may hold threads and locks, which a fork would copy in any state.
        results = _decode_in_processes(tasks, min(workers, len(tasks)))
    with warnings.catch_warnings(), closing(results):
        # Decoding ignores warnings too, but threads take turns in saving and restoring the one filter.
        warnings.simplefilter("ignore")
        yield from results


def _decode_in_processes(tasks: list[_Task], count: int) -> Generator[_Decoded, None, None]:
    workers = Workers(_decode_block, count, "--data.workers", method="spawn")
    try:
        yield from workers.results(tasks)
    finally:
        workers.close()


def _decode_in_threads(tasks: list[_Task]) -> Generator[_Decoded, None, None]:
    threads = min(len(tasks), _MOST_THREADS, _usable_cores())
    pool = ThreadPoolExecutor(threads, "decode")
    try:
        yield from _in_order(pool, tasks, ahead=4 * threads)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: Executor, tasks: list[_Task], ahead: int) -> Iterator[_Decoded]:
    """Results in the order of the tasks, with so many of them in the works: memory stays bounded."""
    pending: deque[Future[_Decoded]] = deque()
    for task in tasks:
        pending.append(pool.submit(_decode_block, task))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _decode_block(task: _Task) -> _Decoded:
    images, rejected = [], []
    files = zip(task.paths, task.hashes, strict=True)
    for row, (path, content_hash) in enumerate(files, task.first_row):
        try:
            images.append(task.transform.decode(task.root / path, content_hash.tobytes()))
        except ChangedFileError:  # nothing to remember of the file: the folder must be indexed again
            raise
        except ImageError as error:
            rejected.append((row, error.reason))
    stacked = np.stack(images) if images else np.empty((0, *task.transform.shape), np.uint8)
    return _Decoded(stacked, tuple(rejected))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
