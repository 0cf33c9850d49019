"""Locks between processes that end with their process, where the file system has any."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

from datamodules.utils.posix import fcntl

_log = logging.getLogger(__name__)

HELD = (errno.EACCES, errno.EAGAIN)
"""What a system answers where another process holds a lock; all else means that there are no locks."""


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file, and tell whether no other process holds it.

    Args:
        descriptor: The file, open for writing: network file systems lock no other.

    Raises:
        OSError: If the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


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
