"""Hashes of the contents of files, each file read once."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from datamodules.index.path_table import PathTable

HASH_BYTES = 16
"""BLAKE2b-128: no two files collide by chance, or by anyone's will, below 2**64 tries."""

_BLOCK = 2**20
_CHUNK = 128  # files per task: the hand-over to a thread costs as much as a small file
_ATTEMPTS = 3
UNKNOWN = -1
"""In place of a stamp's numbers: the hash is not known."""


class Stamp(NamedTuple):
    """What changes with a file's content.

    Attributes:
        size: Bytes.
        modified: Time of the last modification, nanoseconds since 1970.
        changed: Time of the last change of content, name, owner or rights, nanoseconds since 1970. A program
            can set the one above back, but not this one.
    """

    size: int
    modified: int
    changed: int


class Hashes(NamedTuple):
    """Hashes of N files, filled row by row.

    Attributes:
        hashes: BLAKE2b-128 of each content, (N, 16) uint8.
        stamps: The file's `Stamp` when it was read, (N, 3) int64; -1 where the hash is not known.
    """

    hashes: npt.NDArray[np.uint8]
    stamps: npt.NDArray[np.int64]

    @classmethod
    def unknown(cls, count: int) -> Hashes:
        """Room for so many."""
        return cls(np.zeros((count, HASH_BYTES), np.uint8), np.full((count, 3), UNKNOWN, np.int64))


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, unless it is a pipe, a device or a folder: to open those could wait for ever.

    Raises:
        OSError: It cannot be opened or is not a regular file.
    """
    # A pipe opened without O_NONBLOCK waits for its other end; a regular file does not mind the flag.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            folder = stat.S_ISDIR(mode)
            raise OSError(
                *((errno.EISDIR, "is a directory") if folder else (errno.EINVAL, "not a regular file"))
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in what the operating system says of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest(file: BinaryIO) -> bytes:
    """BLAKE2b-128 of what is left to read in a file."""
    state = hashlib.blake2b(digest_size=HASH_BYTES)
    while block := file.read(_BLOCK):
        state.update(block)
    return state.digest()


def hash_file(path: str) -> tuple[bytes, Stamp]:
    """Hash a file that does not change meanwhile.

    Raises:
        OSError: It cannot be read, is not a regular file, or is written to all the time.
    """
    for _ in range(_ATTEMPTS):
        with open_regular(path) as file:
            before = stamp_of(os.fstat(file.fileno()))
            found = digest(file)
            if stamp_of(os.fstat(file.fileno())) == before:
                return found, before
    raise OSError("it changes while it is read: something still writes to it")


def hash_files(
    root: str, paths: PathTable, hashes: Hashes, progress: Callable[[int], object], threads: int | None = None
) -> dict[int, str]:
    """Fill in the hashes of the files that are not known or have another stamp than the one on record.

    Args:
        root: The folder that the paths are relative to.
        paths: N paths.
        hashes: What is on record for each, (N,); filled in place, also when this is interrupted.
        progress: Told how many files are done, again and again.
        threads: Files that are read at once. Default: a few more than there are cores, to hide the disk.

    Returns:
        For each row that cannot be read, the reason.
    """
    failed: dict[int, str] = {}

    def work(start: int) -> int:
        names = paths[start : start + _CHUNK]
        recorded = hashes.stamps[start : start + _CHUNK].tolist()
        for row, (name, stamp) in enumerate(zip(names, recorded, strict=True), start):
            path = f"{root}/{name}"
            try:
                if stamp[0] == UNKNOWN or stamp_of(os.stat(path)) != tuple(stamp):  # noqa: PTH116
                    hashes.stamps[row] = UNKNOWN  # never a stamp with another content's hash
                    found, now = hash_file(path)
                    hashes.hashes[row] = np.frombuffer(found, np.uint8)
                    hashes.stamps[row] = now
            except OSError as error:
                hashes.stamps[row] = UNKNOWN
                failed[row] = (error.strerror or str(error)).lower()
        return len(names)

    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in pool.map(work, range(0, len(paths), _CHUNK)):
                progress(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return failed
