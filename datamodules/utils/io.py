"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from datamodules.utils.locks import open_to_lock, try_lock

SUFFIX = ".tmp"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; what was written appears at `path` whole, or not at all.

    Args:
        path: Where the file is to be; its folder is made.

    Yields:
        A path in the same folder, of an empty file. When the block ends it is flushed to disk and renamed,
        replacing what was at `path`; when the block raises, it is removed. A lock that ends with the process
        marks it as being written, see `remove_abandoned`.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    mark = _marked(temporary)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        os.close(mark)
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at `path` when the block ends without an error; see `whole_file`.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        yield file


def remove_abandoned(folder: Path, pattern: str = f".*{SUFFIX}") -> list[Path]:
    """Remove a folder's temporary files whose writers are dead, and return them.

    The lock tells, not a process' number, which a container's next process may have again. Where the file
    system has no locks nothing is removed, since a writer may be alive.

    Args:
        folder: Where to look, not below.
        pattern: The names of temporary files.
    """
    removed = []
    for place in folder.glob(pattern):
        with contextlib.suppress(OSError):
            descriptor = os.open(place, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if try_lock(descriptor):
                    place.unlink()
                    removed.append(place)
            finally:
                os.close(descriptor)
    return removed


def _marked(temporary: Path) -> int:
    """Make an empty file and lock it, where that is possible; return its descriptor."""
    while True:
        descriptor = open_to_lock(temporary)
        try:
            os.ftruncate(descriptor, 0)
            with contextlib.suppress(OSError):
                try_lock(descriptor)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # `remove_abandoned` of another process was between the two
