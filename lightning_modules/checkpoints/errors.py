"""What can be wrong with a checkpoint, said so that one can act on it."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADVICE = {
    errno.ENOSPC: "Free some space there, or keep fewer checkpoints.",
    errno.EDQUOT: "Free some space there, or keep fewer checkpoints.",
    errno.EFBIG: "A limit on the size of files is set: see `ulimit -f`.",
    errno.EACCES: "Make the folder writable for this user.",
    errno.EPERM: "Make the folder writable for this user.",
    errno.EROFS: "Its file system is mounted read-only.",
    errno.ENOTDIR: "A part of this path is a file, not a folder.",
}


class CheckpointWriteError(OSError):
    """A checkpoint could not be written. What was there before is as it was; `errno` is the cause's."""


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written."""


class UnsafeCheckpointError(pickle.UnpicklingError, ValueError):
    """A checkpoint holds more than data, so that loading it could run code."""


def write_error(
    path: Path, cause: OSError, written: int = 0, size: int | None = None
) -> CheckpointWriteError:
    """Make the error that says which file, how much was needed and free, and that nothing was lost.

    Args:
        path: The file.
        cause: The file system's error.
        written: Bytes written before it.
        size: Bytes that were about to be written, as far as known.
    """
    number = cause.errno or errno.EIO
    said = [f"could not write {path}: {os.strerror(number)}."]
    needed = f"{megabytes(written)} were written" + (f" of about {megabytes(size)}" if size else "")
    with contextlib.suppress(OSError):
        needed += f", {megabytes(shutil.disk_usage(_existing(path.parent)).free)} are free there"
    said += [f"{needed}.", "What was written before is untouched.", ADVICE.get(number, "")]
    return CheckpointWriteError(number, " ".join(said).rstrip())


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn a file system's refusal to write a file of a run into the error that says what to do.

    Raises:
        CheckpointWriteError: In place of every `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def megabytes(count: int) -> str:
    """Return a number of bytes in MB."""
    return f"{count / 1e6:,.1f} MB"


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
