"""One process per run: a lock that dies with its process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from datamodules.utils.locks import open_to_lock, record_lock_holder, try_record_lock
from lightning_modules.run.directory import RunDirectory

logger = logging.getLogger(__name__)


_OURS: set[tuple[int, int]] = set()
"""Device and number of the lock files that this process holds."""
os.register_at_fork(after_in_child=_OURS.clear)


class RunLockedError(RuntimeError):
    """Another process trains in this run directory."""


class RunLock:
    """Hold a run directory for as long as this process lives.

    A record lock on `.lock`: the system drops it when the process ends, however it ends, and loader workers
    do not inherit it, so that none of them can hold a dead run.

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
        path = RunDirectory(self.folder).lock
        file = open_to_lock(path)
        try:
            if not try_record_lock(file):
                holder = record_lock_holder(file)
                os.close(file)
                raise self._refusal(f"process {holder}" if holder else "another process")
        except OSError as error:
            os.close(file)
            if not quietly:
                logger.warning(
                    "No lock on %s (%s): see to it yourself that one process trains there.", path, error
                )
            return
        self._file = file
        _OURS.add(_identity(os.fstat(file)))
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
            _OURS.discard(_identity(os.fstat(self._file)))
            os.close(self._file)
            self._file = None

    def _refusal(self, who: str) -> RunLockedError:
        return RunLockedError(
            f"{who} is training in {self.folder}. Wait for it, stop it, or start another run with --fresh."
        )


def is_held(folder: Path) -> bool:
    """Tell whether a process trains in a run directory, as far as the system says so."""
    path = RunDirectory(folder).lock
    try:
        if _identity(path.stat()) in _OURS:  # opening and closing the file would give our own lock back
            return True
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return record_lock_holder(file) is not None
    finally:
        os.close(file)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
