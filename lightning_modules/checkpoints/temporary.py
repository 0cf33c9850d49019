"""Temporary files that become the real one by a rename, when they are on the disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.utils.io import SUFFIX, remove_abandoned
from datamodules.utils.posix import fcntl

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS}
"""What file systems answer that cannot sync a folder, or cannot lock."""


class HashingWriter(io.BufferedWriter):
    """A binary file, written from its beginning to its end, that hashes what passes.

    A lock that ends with the process marks the file as being written, see `remove_stale`.

    Args:
        place: The file to write; what is there is replaced.

    Attributes:
        written: Bytes so far.
        error: The first error of the file system. Some writers raise one of their own instead.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(_locked(place))
        self.place = place
        self.written = 0
        self.error: OSError | None = None
        self._hash = hashlib.sha256()

    def seekable(self) -> bool:
        """Tell that there is no way back, which the hash would not follow."""
        return False

    def seek(self, target: int, whence: int = 0, /) -> int:
        """Refuse."""
        raise io.UnsupportedOperation("what is hashed while it is written cannot be written again")

    def write(self, buffer: ReadableBuffer, /) -> int:
        """Write and hash."""
        try:
            count = super().write(buffer)
        except OSError as error:
            self.error = self.error or error
            raise
        self._hash.update(buffer)
        self.written += count
        return count

    def hexdigest(self) -> str:
        """Return the SHA-256 of all that was written."""
        return self._hash.hexdigest()

    def publish(self, path: Path) -> None:
        """Rename the file, which `sync` has brought to the disk, and bring the rename there too."""
        self.place.replace(path)
        sync_folder(path.parent)

    def sync(self) -> None:
        """Wait until all is on the disk."""
        self.flush()
        os.fsync(self.fileno())


def _locked(place: Path) -> io.FileIO:
    while True:
        raw = io.FileIO(place, "w")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(raw, fcntl.LOCK_EX)
        if os.fstat(raw.fileno()).st_nlink:
            return raw
        raw.close()  # `remove_stale` of another process was between the two


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[HashingWriter]:
    """Open a hidden file next to `path`, to be renamed to it; at the end it is gone if it was not."""
    # The thread's number in the system: no other thread of any process of the machine has it.
    stream = HashingWriter(path.with_name(f".{path.name}.{threading.get_native_id()}{SUFFIX}"))
    try:
        yield stream
    finally:
        stream.raw.close()  # not the buffer, which would write once more after an error
        with contextlib.suppress(OSError):
            stream.place.unlink(missing_ok=True)


def remove_stale(folder: Path, names: str) -> list[Path]:
    """Remove a folder's temporary files whose writers are dead, and return them; see `remove_abandoned`.

    Args:
        folder: Where to look.
        names: A pattern of the names that the files were to get.
    """
    return remove_abandoned(folder, f".{names}.*{SUFFIX}")


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the file system can say so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)
