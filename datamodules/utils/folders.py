"""Folders that are whole or not there."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from datamodules.utils.io import SUFFIX, sync, sync_folder
from datamodules.utils.locks import lock, open_to_lock, try_lock
from datamodules.utils.text import listed

_NEW, _OLD, _LOCK = "new", "old", "lock"
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def whole_folder(path: Path, replaces: Collection[str]) -> Iterator[Path]:
    """Give an empty folder to write to; what was written appears at `path` whole, or not at all.

    Args:
        path: Where the folder is to be.
        replaces: Names of what is written. A folder that is at `path` already is replaced if it holds
            nothing else, so that no file of a user's is lost.

    Yields:
        A folder next to it. When the block ends its files are flushed to the disk and it takes the place of
        what was at `path`; when the block raises, it is removed, and what was there stays. What a killed
        process has left is removed by the next one that writes to the same place.

    Raises:
        ValueError: If `path` is a file, the present folder, or holds something else.
        OSError: It cannot be written.
    """
    path = path.absolute()  # "." has no name
    clear_abandoned(path)
    check_replaceable(path, replaces)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}."
    with (
        tempfile.TemporaryDirectory(prefix=prefix, suffix=SUFFIX, dir=path.parent) as workshop,
        _marked(Path(workshop)),
    ):
        # Folders inside, because the temporary one can be read by its owner alone.
        draft, before = Path(workshop) / _NEW, Path(workshop) / _OLD
        draft.mkdir()
        yield draft
        _sync_all(draft)
        check_replaceable(path, replaces)
        if not path.exists():
            draft.rename(path)
        elif not _exchanged(draft, path):
            path.rename(before)
            draft.rename(path)
        sync_folder(path.parent)


def clear_abandoned(path: Path) -> None:
    """Remove what processes that are dead have left of a folder, and put back what one had taken away.

    Nothing that a live process may be writing is touched: a lock tells, and without locks nothing is removed.

    Args:
        path: Where the folder is to be.
    """
    for workshop in path.parent.glob(f".{glob.escape(path.name)}.*{SUFFIX}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(workshop / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if try_lock(descriptor):
                    if (workshop / _OLD).is_dir() and not path.exists():
                        (workshop / _OLD).rename(path)
                    shutil.rmtree(workshop, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextmanager
def _marked(workshop: Path) -> Iterator[None]:
    """Hold the lock that says that a process is writing here."""
    descriptor = open_to_lock(workshop / _LOCK)
    try:
        lock(descriptor, workshop)
        yield
    finally:
        os.close(descriptor)


def check_replaceable(path: Path, replaces: Collection[str]) -> None:
    """Refuse a place where a folder with these names would be in the way of something else.

    Raises:
        ValueError: With what is there and what to do.
    """
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_dir():
        what = "a link" if path.is_symlink() else "a file"
        raise ValueError(f"{path} is {what} where a folder is to be written: choose another one with --out")
    others = sorted({entry.name for entry in path.iterdir()} - {*replaces})
    if others:
        raise ValueError(
            f"{path} holds {listed(others)}, which would be deleted: choose a new folder with --out"
        )
    with contextlib.suppress(FileNotFoundError):  # which says that the present folder is gone already
        if Path.cwd().is_relative_to(path.resolve()):
            raise ValueError(
                f"{path} is the folder that you are in, which would be replaced: choose one in it with --out"
            )


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places in one go, so that a kill leaves one of them; whether the system can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def _sync_all(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb+") as file:
                sync(file)
        sync_folder(Path(place))
