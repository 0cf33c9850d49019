"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; what was written appears at `path` whole, or not at all.

    Args:
        path: Where the file is to be; its folder is made.

    Yields:
        A path in the same folder. When the block ends it is flushed to disk and renamed, replacing what was
        at `path`; when the block raises, it is removed.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at `path` when the block ends without an error; see `whole_file`.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        yield file
