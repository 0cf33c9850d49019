"""Checkpoint files that are whole or not there, and the folder that holds them.

A checkpoint `step=00000123.ckpt` counts as whole if a line of `step=00000123.ckpt.sha256`, which
`sha256sum -c` reads, has its checksum. What a power cut or a kill leaves depends on the order of things:

1. the bytes go to a hidden temporary file, and to the disk;
2. the checksum file is published (itself through a temporary file and a rename), and is on the disk;
3. the temporary file is renamed to the checkpoint, and the rename is on the disk.

Before 3 there is at most a checksum without a checkpoint, which no reader looks for; after it both are there.
Where a checkpoint of the same name is replaced, the checksum file of 2 has two lines, the old and the new
file's, so that both sides of the rename are whole; a last step leaves the new line alone.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from datamodules.utils.io import remove_abandoned, stream_digest, sync, sync_folder, whole_file, write_text
from lightning_modules.checkpoints.errors import megabytes, write_error
from lightning_modules.checkpoints.hashing import hashed_file
from lightning_modules.checkpoints.names import LAST, checksum_file, is_checkpoint, step_of

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What file systems answer that have no symbolic links."""
_log = logging.getLogger(__name__)


def write_whole(path: Path, write: Callable[[BinaryIO], object], size: int | None = None) -> str:
    """Write a checkpoint so that it is there whole, with its checksum, or not at all.

    Folders are made as needed. A checkpoint of the same name is replaced in the instant the new one is whole.

    Args:
        path: Where it is to be.
        write: Writes the content, from beginning to end, into the file it is given.
        size: Bytes that will about be written, for the message of an error.

    Returns:
        The SHA-256 of the content, in hexadecimal.

    Raises:
        CheckpointWriteError: If the file system refuses; nothing is left of the attempt.
    """
    written = 0
    try:
        with whole_file(path) as temporary, hashed_file(temporary) as stream:
            try:
                write(stream)
                sync(stream)
            except Exception:
                written = stream.written
                if stream.error is not None:  # `torch.save` raises one of its own in its place
                    raise stream.error from None
                raise
            digest = stream.hexdigest()
            replaced = _lines(path) if path.exists() else []
            line = f"{digest}  {path.name}\n"
            write_text(checksum_file(path), "".join([*replaced, line]))
        if replaced:
            write_text(checksum_file(path), line)
    except OSError as error:
        raise write_error(path, error, written, size) from error
    return digest


def fault(path: Path) -> str | None:
    """Return why a checkpoint is not whole, in words, or None if it is.

    It reads the whole file, at the speed of SHA-256. It may be replaced or deleted meanwhile.

    Raises:
        OSError: If that cannot be known, for want of permission for example.
    """
    path = path.resolve() if path.is_symlink() else path
    while True:
        lines = _lines(path)
        reason = _fault(path, {line.split()[0] for line in lines if line.strip()})
        if reason is None or lines == _lines(path):
            return reason


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, whole or not, by step, oldest first; empty if it is not there."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if is_checkpoint(path) and path.is_file())
    return sorted(named, key=step_of)


def newest_whole(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a folder, or None, and clean up what a crash has left.

    Damaged ones that are newer are renamed to `*.corrupt` with a warning, `last.ckpt` is taken off them, and
    temporary files of dead processes are removed. Where the folder cannot be written all that is left undone.

    Raises:
        OSError: If a checkpoint cannot be read for another reason than its own.
    """
    for place in remove_abandoned(folder, "step=*"):
        _log.info("Removed %s, which a process that is gone has left.", place)
    damaged: dict[Path, str] = {}
    whole = None
    for path in reversed(checkpoints_in(folder)):
        reason = fault(path)
        if reason is None:
            whole = path
            break
        damaged[path] = reason
    used = f"{whole.name}, the newest whole one, is used" if whole else "no whole checkpoint is left"
    for path, reason in damaged.items():
        aside = set_aside(path)
        what = f"it is now {aside.name}" if aside else "it could not be renamed and is skipped"
        _log.warning("The checkpoint %s is damaged: %s; %s. Instead %s.", path, reason, what, used)
    _mend_last(folder, whole)
    return whole


def set_aside(path: Path) -> Path | None:
    """Rename a checkpoint and its checksum to `*.corrupt`, or `*.2.corrupt` and so on if that is taken.

    Returns:
        The new name, or None if the folder cannot be written.
    """
    endings = (".corrupt" if number == 1 else f".{number}.corrupt" for number in itertools.count(1))
    olds = (path, checksum_file(path))
    ending = next(e for e in endings if not any(old.with_name(old.name + e).exists() for old in olds))
    try:
        for old in olds:
            if old.exists():
                old.rename(old.with_name(old.name + ending))
        sync_folder(path.parent)
    except OSError as error:
        _log.debug("%s is not set aside: %s", path, error)
        return None
    return path.with_name(path.name + ending)


def point_last(folder: Path, target: Path) -> None:
    """Let `last.ckpt` of a folder point to a checkpoint in it, from one instant to the next.

    On a file system without links there is no `last.ckpt`: the newest checkpoint is found by its name. One
    that a copy has made a file of the link is removed then, since it is of another step.

    Raises:
        CheckpointWriteError: If the file system refuses; it points where it did.
    """
    link = folder / f".{LAST}.link"
    try:
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(target.name)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            (folder / LAST).unlink(missing_ok=True)
            return
        link.replace(folder / LAST)
        sync_folder(folder)
    except OSError as error:
        raise write_error(folder / LAST, error) from error


def _mend_last(folder: Path, whole: Path | None) -> None:
    """Let `last.ckpt` point to the newest whole checkpoint, where a crash came before it was moved there."""
    last = folder / LAST
    with contextlib.suppress(OSError):
        if whole is not None and (last.is_symlink() or not last.exists()):
            if not last.is_symlink() or last.readlink().name != whole.name:
                point_last(folder, whole)
        elif whole is None and last.is_symlink() and not last.exists():
            last.unlink()


def _lines(path: Path) -> list[str]:
    try:
        return checksum_file(path).read_text(errors="replace").splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _fault(path: Path, expected: set[str]) -> str | None:
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:
                return "the file is empty"
            if not expected:
                return f"there is no checksum next to it ({checksum_file(path).name})"
            found = stream_digest(stream)
            if found in expected:
                return None
            stream.seek(0)
            if stream.read(2) == b"PK" and not zipfile.is_zipfile(stream):
                return f"the file is truncated: it ends after {megabytes(size)}, before its archive does"
    except (FileNotFoundError, NotADirectoryError):
        return "the file is missing"
    except IsADirectoryError:
        return "it is a folder"
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return f"it cannot be read: {error.strerror}"
    wanted = " or ".join(f"{digest[:12]}..." for digest in sorted(expected))
    return f"the checksum is wrong: {found[:12]}... instead of {wanted}"
