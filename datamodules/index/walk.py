"""The files below a folder, in the order of their paths."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from datamodules.errors import Rejected

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jfif", ".avif", ".apng")
"""Endings, in any case, of the files that are taken for images."""

SYSTEM_FOLDERS = frozenset(
    {
        "@eadir",  # Synology: thumbnails of every image
        "@tmp",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "__macosx",  # ZIP archives made on a Mac
        "__pycache__",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "found.000",
        "lost+found",
        "temporary items",
        "network trash folder",
        "thevolumesettingsfolder",
    }
)
"""Folders, in lower case, that systems and not people make; what is in them is no one's choice. Those whose
names begin with a dot (`.Trash-1000`, `.ipynb_checkpoints`, `.@__thumb`, `.thumbnails`) are skipped with
all that is hidden."""

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


class _Folder(NamedTuple):
    """A folder whose entries are being gone through; `ancestors` identify it and the folders it lies in."""

    prefix: str
    ancestors: frozenset[tuple[int, int]]
    entries: Iterator[tuple[str, tuple[int, int] | None]]


class FolderWalk:
    """Iterate over the image files below a folder, as relative POSIX paths, sorted.

    Hidden files and folders and `SYSTEM_FOLDERS` are skipped, links are followed, links back to a parent
    are not. Nothing is collected on the way: memory is that of one folder's names.

    Args:
        root: The folder.

    Attributes:
        rejected: Folders that cannot be read, known once the iteration is over.
        ignored: How many other files there are of each ending.
        left_behind: How many folders of each name, and `hidden images`, were skipped.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.rejected: list[Rejected] = []
        self.ignored: Counter[str] = Counter()
        self.left_behind: Counter[str] = Counter()

    def __iter__(self) -> Iterator[str]:
        identity = folder_identity(self.root)
        # An explicit stack: a tree may be deeper than Python's recursion goes.
        stack = [self._open("", frozenset() if identity is None else frozenset({identity}))]
        while stack:
            prefix, ancestors, entries = stack[-1]
            for name, identity in entries:
                if identity is not None:
                    if identity not in ancestors:  # else a link back: all behind it is listed already
                        stack.append(self._open(f"{prefix}{name}", ancestors | {identity}))
                        break
                elif name.lower().endswith(SUFFIXES):
                    yield prefix + name
                elif name.lower() not in _SYSTEM_FILES:
                    self.ignored[os.path.splitext(name)[1].lower()] += 1  # noqa: PTH122 -- a name, no path
            else:
                stack.pop()

    def _open(self, prefix: str, ancestors: frozenset[tuple[int, int]]) -> _Folder:
        """List a folder. A folder's name sorts as if it ended in a slash: so do the paths of its files."""
        path = os.path.join(self.root, prefix)  # noqa: PTH118 -- a Path object per file costs more than the walk
        entries: list[tuple[str, tuple[int, int] | None]] = []
        try:
            with os.scandir(path) as listing:
                for entry in listing:
                    identity = folder_identity(entry.path) if _may_be_folder(entry) else None
                    if not self._pass_over(entry.name, identity is not None):
                        entries.append((entry.name if identity is None else f"{entry.name}/", identity))
        except OSError as error:
            self.rejected.append(Rejected(prefix.rstrip("/"), f"the folder cannot be read: {error.strerror}"))
        return _Folder(prefix, ancestors, iter(sorted(entries, key=lambda entry: entry[0])))

    def _pass_over(self, name: str, is_folder: bool) -> bool:
        """Whether an entry is a system's, which is noted where it may hold images."""
        hidden = name.startswith(".")
        if is_folder and (hidden or name.lower() in SYSTEM_FOLDERS):
            self.left_behind[name] += 1
            return True
        if hidden and name.lower().endswith(SUFFIXES):
            self.left_behind["hidden images"] += 1
        return hidden


def folder_identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a folder; None for anything else, also for what cannot be looked at."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() or entry.is_symlink()
    except OSError:  # a link to itself, a disk that is gone: found out when it is read
        return False
