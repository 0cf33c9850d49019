"""One process per run: a lock that dies with its process."""

from __future__ import annotations

import errno
import logging
import os
import struct
import sys
from pathlib import Path

from datamodules.utils.posix import fcntl

logger = logging.getLogger(__name__)

FILE = ".lock"
_FLOCK = {"linux": ("hhqqi4x", (0, 1, 4)), "darwin": ("qqihh", (3, 4, 2))}
"""The layout of 64-bit systems' struct flock, and where in it type, whence and process are."""


class RunLockedError(RuntimeError):
    """Another process trains in this run directory."""


class RunLock:
    """Hold a run directory for as long as this process lives.

    A POSIX record lock on `.lock`: the system drops it when the process ends, however it ends, and loader
    workers do not inherit it, so that none of them can hold a dead run.

    Args:
        folder: The run directory, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None

    def acquire(self, quietly: bool = False) -> None:
        """Take the lock, or go on without one, with a warning, where the file system has no locks.

        Args:
            quietly: Whether to leave the warning out.

        Raises:
            RunLockedError: If another process holds it.
        """
        path = self.folder / FILE
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                holder = _holder(file)
                os.close(file)
                who = f"process {holder}" if holder else "another process"
                raise RunLockedError(
                    f"{who} is training in {self.folder}. Wait for it, stop it, or start another run with "
                    f"--fresh."
                ) from None
            os.close(file)
            if not quietly:
                logger.warning(
                    "No lock on %s (%s): see to it yourself that one process trains there.", path, error
                )
            return
        self._file = file
        if os.fstat(file).st_nlink == 0:  # another process has cleared the empty folder away meanwhile
            self.release()
            raise RunLockedError(
                f"another process has removed {self.folder}. The same command starts a new run."
            )

    @property
    def held(self) -> bool:
        """Whether this process holds it; false too where the file system has no locks."""
        return self._file is not None

    def release(self) -> None:
        """Give the lock back; the file stays, so that a finished run is not touched when it is looked at."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _holder(file: int) -> int | None:
    """Return the process that holds a lock on a file, where the system says so."""
    if sys.platform not in _FLOCK:
        return None
    layout, (kind, whence, process) = _FLOCK[sys.platform]
    question = [0] * 5
    question[kind], question[whence] = fcntl.F_WRLCK, os.SEEK_SET
    try:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *question))
        return int(struct.unpack(layout, answer)[process]) or None
    except (OSError, struct.error):
        return None
