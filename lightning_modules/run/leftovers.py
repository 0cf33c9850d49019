"""What killed processes have left in a run directory and next to it, removed when the run continues."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path

from datamodules.utils.io import remove_abandoned
from lightning_modules.run.directory import LATEST, RunDirectory
from lightning_modules.run.lock import RunLock, RunLockedError

logger = logging.getLogger(__name__)

_DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?")


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of dead processes from a run, and empty runs next to it.

    Nothing that could be a live process' is touched, and what cannot be removed stays.

    Args:
        folder: A run directory that this process holds.
    """
    of_run = RunDirectory(folder)
    for written in (folder, of_run.samples, of_run.evaluation, of_run.export, of_run.model_checkpoints):
        for place in remove_abandoned(written):
            logger.info("Removed %s, which a process that is gone has left.", place)
    for link in folder.parent.glob(f".{LATEST}.*"):
        number = link.suffix.removeprefix(".")
        if link.is_symlink() and number.isdigit() and not _lives(int(number)):
            with contextlib.suppress(OSError):
                link.unlink()
    remove_abandoned(folder.parent, LATEST)
    for run in folder.parent.iterdir():
        if run != folder and _DATED.fullmatch(run.name) and not run.is_symlink() and _is_empty(run):
            _remove_empty(run)


def _is_empty(run: Path) -> bool:
    """Tell whether a run directory holds no more than what is made first of all."""
    try:
        of_run = RunDirectory(run)
        return {*run.iterdir()} <= {of_run.checkpoints, of_run.lock} and not any(of_run.checkpoints.glob("*"))
    except OSError:
        return False


def _remove_empty(run: Path) -> None:
    lock = RunLock(run)
    with contextlib.suppress(OSError, RunLockedError):
        lock.acquire(quietly=True)
        if lock.held and _is_empty(run):
            of_run = RunDirectory(run)
            if of_run.is_run:
                of_run.checkpoints.rmdir()
            of_run.lock.unlink(missing_ok=True)
            run.rmdir()
            logger.info("Removed %s, an empty run that a process that is gone has left.", run)
    lock.release()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
