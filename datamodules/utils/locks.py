"""Locks between processes that end with their process, where the file system has any.

`lock` and `try_lock` belong to an open file: a process that is forked meanwhile shares them. A record lock
belongs to the process alone, and the system knows which one that is.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from datamodules.utils.posix import fcntl

_log = logging.getLogger(__name__)

_HELD = (errno.EACCES, errno.EAGAIN)
"""What a system answers where another process holds a lock; all else means that there are no locks."""
_EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB
_FLOCK = {"linux": ("hhqqi4x", (0, 1, 4)), "darwin": ("qqihh", (3, 4, 2))}
"""The layout of 64-bit systems' struct flock, and where in it type, whence and process are."""


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file, and tell whether no other process holds it.

    Args:
        descriptor: The file, open for writing: network file systems lock no other.

    Raises:
        OSError: If the file system has no locks.
    """
    return _try(fcntl.flock, descriptor)


def try_record_lock(descriptor: int) -> bool:
    """Take an exclusive record lock on a file, and tell whether no other process holds it.

    It ends when this process closes the file, however often it has it open. A forked process does not have
    it.

    Args:
        descriptor: The file, open for writing.

    Raises:
        OSError: If the file system has no locks.
    """
    return _try(fcntl.lockf, descriptor)


def record_lock_holder(descriptor: int) -> int | None:
    """Return the process that holds a record lock on a file, where the system says so."""
    if sys.platform not in _FLOCK:
        return None
    layout, (kind, whence, process) = _FLOCK[sys.platform]
    question = [0] * 5
    question[kind], question[whence] = fcntl.F_WRLCK, os.SEEK_SET
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(layout, *question))
        return int(struct.unpack(layout, answer)[process]) or None
    except (OSError, struct.error):
        return None


def lock(
    descriptor: int, place: Path, without: str | None = None, busy: Callable[[], None] | None = None
) -> bool:
    """Take an exclusive lock on an open file, waiting for it; it ends when the file is closed.

    Args:
        descriptor: The file, open for writing.
        place: Its path, for a warning.
        without: What follows where the file system has no locks, to be warned of; none warns of nothing.
        busy: Called before it waits.

    Returns:
        Whether it is held; false where the file system has no locks.
    """
    try:
        if not try_lock(descriptor):
            if busy is not None:
                busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if without is not None:
            _log.warning("%s cannot be locked (%s): %s", place, error.strerror or error, without)
        return False
    return True


def open_to_lock(path: Path) -> int:
    """Open a file for no other purpose than to lock it, and return its descriptor; it is made if need be.

    Raises:
        OSError: If it cannot be opened for writing.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _try(take: Callable[[int, int], object], descriptor: int) -> bool:
    try:
        take(descriptor, _EXCLUSIVE)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True
