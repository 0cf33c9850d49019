"""A file that is hashed while it is written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class HashingWriter(io.BufferedWriter):
    """A binary file, written from its beginning to its end, that hashes what passes.

    Args:
        place: The file to write; what is there is replaced.

    Attributes:
        written: Bytes so far.
        error: The first error of the file system. Some writers raise one of their own instead.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(io.FileIO(place, "w"))
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


@contextmanager
def hashed_file(place: Path) -> Iterator[HashingWriter]:
    """Open a file that hashes what is written; at the end it is closed without writing any more."""
    stream = HashingWriter(place)
    try:
        yield stream
    finally:
        stream.raw.close()  # not the buffer, which would write once more after an error
