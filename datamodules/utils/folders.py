"""Folders that are whole or not there."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from datamodules.utils.io import sync, sync_folder
from datamodules.utils.text import listed

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
        what was at `path`; when the block raises, it is removed, and what was there stays.

    Raises:
        ValueError: If `path` is a file, or holds something else.
        OSError: It cannot be written.
    """
    path = path.absolute()  # "." has no name
    check_replaceable(path, replaces)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as workshop:
        # Folders inside, because the temporary one can be read by its owner alone.
        draft, before = Path(workshop) / "new", Path(workshop) / "old"
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
