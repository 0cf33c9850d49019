"""Volume content: the published tree of a Volume, and the copies that containers work on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

State = tuple[int, ...] | str
"""Inode, size, modification time, mode of a file; the target of a link; "/" for a folder."""
Listing = dict[str, State]
"""The state of each path."""


def listing(folder: Path) -> Listing:
    """What is in `folder`, recursively, without following links; what vanishes meanwhile is not there."""
    found: Listing = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(folder))] = _state(path)
    return found


def _state(path: Path) -> State:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_dir():
        return "/"
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def put(source: Path, target: Path) -> None:
    """Make `target` what `source` is: a folder, link or file; a file appears whole, under its name."""
    if source.is_dir() and not source.is_symlink():
        if target.is_symlink() or target.is_file():
            target.unlink()
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    partial = target.with_name(f"{target.name}.partial")
    shutil.copy2(source, partial, follow_symlinks=False)
    partial.replace(target)


def remove(path: Path) -> None:
    """Remove a file, link or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass
class Copy:
    """A container's working copy of a Volume: what it changes is its own until it is committed."""

    folder: Path
    published: Path
    seen: Listing = field(default_factory=dict)
    """The copy as it was when it last agreed with the published tree."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.reload()

    def commit(self) -> list[str]:
        """Publish what changed in this copy since it last agreed, path by path; return those paths."""
        now = listing(self.folder)
        changed = [path for path, state in now.items() if self.seen.get(path) != state]
        for path in sorted(changed):
            with contextlib.suppress(FileNotFoundError):  # the container goes on while it commits
                put(self.folder / path, self.published / path)
        gone = [path for path in self.seen if path not in now]
        for path in gone:
            remove(self.published / path)
        self.seen = now
        return sorted(changed + gone)

    def reload(self) -> None:
        """Take over the published tree; changes not committed are lost."""
        wanted = listing(self.published)
        for path in sorted(listing(self.folder), reverse=True):
            if path not in wanted:
                remove(self.folder / path)
        for path in sorted(wanted):
            if not _same(self.published / path, self.folder / path):
                put(self.published / path, self.folder / path)
        self.seen = listing(self.folder)

    def open_files(self, pids: list[int]) -> list[str]:
        """Files of the copy that a process holds open, maps, or stands in."""
        inodes = {state[0]: path for path, state in listing(self.folder).items() if isinstance(state, tuple)}
        folders = {
            (self.folder / path).stat().st_ino: path for path, state in self.seen.items() if state == "/"
        }
        found = set()
        for pid in pids:
            for inode, name in _held(pid):
                path = inodes.get(inode, folders.get(inode))
                if path is not None and Path(path).name == name:
                    found.add(path)
        return sorted(found)


def _same(first: Path, second: Path) -> bool:
    """Whether two paths hold the same kind of thing with the same size, time and target."""
    if first.is_symlink() or second.is_symlink():
        return second.is_symlink() and first.is_symlink() and first.readlink() == second.readlink()
    if first.is_dir() or not second.exists():
        return second.is_dir()
    ours, theirs = first.stat(), second.stat()
    return second.is_file() and (ours.st_size, ours.st_mtime_ns, ours.st_mode) == (
        theirs.st_size,
        theirs.st_mtime_ns,
        theirs.st_mode,
    )


def _held(pid: int) -> Iterator[tuple[int, str]]:
    """Inode and name of all that a process has open, mapped, or as its working folder."""
    process = Path("/proc", str(pid))
    # The process, or a file of it, may go away meanwhile.
    with contextlib.suppress(OSError):
        for link in [process / "cwd", *(process / "fd").iterdir()]:
            with contextlib.suppress(OSError):
                yield link.stat().st_ino, link.readlink().name
    with contextlib.suppress(OSError):
        for line in (process / "maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[4] != "0":
                yield int(fields[4]), Path(fields[5]).name
