"""Files that are whole or not there: how every file that must survive a kill or a power cut is written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO

from datamodules.utils.locks import lock, open_to_lock, try_lock

SUFFIX = ".tmp"
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""What file systems answer that cannot sync a folder."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; what was written appears at `path` whole, or not at all.

    Args:
        path: Where the file is to be; its folder is made.

    Yields:
        A path in the same folder, of an empty file. When the block ends the file is flushed to the disk and
        renamed, replacing what was at `path`, and the rename is brought to the disk too; when the block
        raises, the file is removed. A lock that ends with the process marks it as being written, see
        `remove_abandoned`.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The thread's number in the system: no other thread of any process of the machine has it.
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}{SUFFIX}")
    mark = _marked(temporary)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            sync(file)
        publish(temporary, path)
    finally:
        os.close(mark)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at `path` when the block ends without an error; see `whole_file`.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(
    path: Path,
    value: object,
    *,
    allow_nan: bool = False,
    ensure_ascii: bool = True,
    default: Callable[[Any], object] | None = None,
) -> None:
    """Write plain values as JSON, whole or not at all.

    Args:
        path: Where to.
        value: What.
        allow_nan: Whether numbers may be infinite or NaN, which only Python reads again.
        ensure_ascii: Whether other characters are escaped.
        default: Turns a value that JSON does not have into one that it has.

    Raises:
        ValueError: If a number is not finite.
        OSError: It cannot be written.
    """
    text = json.dumps(value, indent=2, allow_nan=allow_nan, ensure_ascii=ensure_ascii, default=default)
    write_text(path, f"{text}\n")


def read_json(path: Path, remedy: str | None = None) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        remedy: What may be done where it cannot be restored, for the message of an error.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged, with what to do.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"it holds {type(content).__name__}")
    except (ValueError, TypeError) as error:
        raise damaged(path, remedy, error) from error
    return content


def damaged(path: Path, remedy: str | None, error: Exception) -> ValueError:
    """Make the error of a file that is not what was written; nothing has been changed."""
    said = " ".join(str(error).split())  # YAML's errors have several lines
    advice = f", or {remedy}" if remedy else ""
    return ValueError(f"{path} is damaged ({said}). Nothing was changed. Restore it{advice}.")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return stream_digest(file)


def stream_digest(file: BufferedReader) -> str:
    """Return the SHA-256 of the rest of an open file in hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def publish(temporary: Path, path: Path) -> None:
    """Rename a file or a folder that is on the disk to its final name, and bring the rename to the disk.

    Raises:
        OSError: It cannot be renamed.
    """
    temporary.replace(path)
    sync_folder(path.parent)


def sync(file: IO[Any]) -> None:
    """Wait until all that was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the file system can say so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path, pattern: str = "*") -> list[Path]:
    """Remove a folder's temporary files whose writers are dead, and return them.

    The lock tells, not a process' number, which a container's next process may have again. Where the file
    system has no locks nothing is removed, since a writer may be alive.

    Args:
        folder: Where to look, not below.
        pattern: The names that the files were to get.
    """
    removed = []
    for place in folder.glob(f".{pattern}.*{SUFFIX}"):
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
            lock(descriptor, temporary)
            if _is_open_as(descriptor, temporary):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # `remove_abandoned` of another process was between the two


def _is_open_as(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
