"""Folders that a user names, or leaves to this program, and whether they can be meant and trusted."""

from __future__ import annotations

import contextlib
import difflib
import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

from datamodules.errors import DataError, printable

_log = logging.getLogger(__name__)

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz", ".zst")


def as_path(option: str, path: Path | str | None) -> Path | None:
    """A path that was given as text or not at all.

    Raises:
        DataError: It is empty, as what a shell makes of a variable that is not set.
    """
    if isinstance(path, str) and not path.strip():
        raise DataError(
            f"{option} is empty: is a variable of the shell not set? Give a path, or leave it out"
        )
    return None if path is None else Path(path)


def existing_folder(root: Path | str) -> Path:
    """The absolute path of a folder that is to be searched for images.

    Raises:
        DataError: There is no such folder, or it is the whole file system or home, which is what is left of a
            path with an unset shell variable.
    """
    root = as_path("the folder of images", root) or Path()
    try:
        folder = root.expanduser().resolve()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"folder {printable(str(root))} cannot be reached: {error}") from error
    if folder == Path(folder.anchor):
        raise DataError(f"{root} is the whole file system: give the folder that the images lie in")
    with contextlib.suppress(RuntimeError, OSError):  # no home, or one that is not there
        if folder.samefile(Path.home()):
            raise DataError(f"{root} is your home folder: give the folder in it that the images lie in")
    if is_folder:
        return folder
    if folder.exists():
        if folder.suffix.lower() in _ARCHIVES:
            raise DataError(
                f"{root} is an archive: unpack it, and give the folder of images that comes of it"
            )
        raise DataError(f"{root} is a file, not a folder of images; give the folder that it lies in")
    raise DataError(f"folder {printable(str(root))} does not exist{_hint(root, folder)}")


def _hint(root: Path, folder: Path) -> str:
    if any(char in str(root) for char in "*?["):
        return ": no folder fits the pattern; give one folder, its sub-folders are searched too"
    if "$" in str(root):
        return ": the shell has put nothing in the place of $ (single quotes keep it from that)"
    siblings = []
    with contextlib.suppress(OSError):  # no such folder, or not ours to look into
        siblings = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    near = difflib.get_close_matches(folder.name, siblings, n=1)
    return f"; did you mean {root.parent / near[0]}?" if near else f" (looked for {folder})"


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/ninelives`, else `~/.cache/ninelives`, else a temporary folder of this user's.

    The last is taken, and warned of, where there is no home or it cannot be written to, as in containers that
    run under a number that they do not know.

    Raises:
        DataError: There is no such place.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "ninelives"
    try:
        home = Path.home()
    except RuntimeError:  # HOME is not set, and the user has no entry
        return _temporary_cache("there is no home folder")
    folder = home / ".cache" / "ninelives"
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        return _temporary_cache(f"{nearest} cannot be written to")
    return folder


@functools.cache
def _temporary_cache(reason: str) -> Path:
    try:
        folder = Path(tempfile.gettempdir()) / f"ninelives-{os.geteuid()}"
    except OSError as error:
        raise DataError(
            f"{reason}, and there is no folder for temporary files either: name a place for decoded images "
            "with the variable XDG_CACHE_HOME (in training also --data.cache_dir)"
        ) from error
    with contextlib.suppress(OSError):  # told by who writes to it
        folder.mkdir(0o700, exist_ok=True)
    _log.warning(
        "%s: decoded images are kept in %s; the variable XDG_CACHE_HOME (or HOME, in training also "
        "--data.cache_dir) names a place that lasts",
        reason,
        folder,
    )
    return folder


def cache_place(cache_dir: Path | str) -> Path:
    """The absolute path of a folder for caches in which nobody else can plant what is trained on.

    Trusted are folders of this user's and of root's, and those that their owner shares with a group of this
    user's. Root, which in a container stands for anybody, trusts all owners. In a folder that everybody may
    write to, one of this user's own is used.

    Raises:
        DataError: It belongs to somebody else.
        OSError: It cannot be made.
    """
    folder = Path(cache_dir).expanduser().resolve()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(0o775, exist_ok=True)  # less what the umask keeps back; never writable for everybody
    status = folder.stat()
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWOTH:
        folder = folder / f"user-{os.geteuid()}"
        folder.mkdir(0o700, exist_ok=True)
        status = folder.lstat()
        shared = False
    else:
        shared = bool(status.st_mode & stat.S_IWGRP) and status.st_gid in {os.getegid(), *os.getgroups()}
    user = os.geteuid()
    if status.st_uid not in (user, 0) and user != 0 and not shared:
        raise DataError(
            f"the folder for caches {folder} belongs to user {status.st_uid}, who could change what is "
            "trained on: take another with the variable XDG_CACHE_HOME (in training also --data.cache_dir)"
        )
    return folder
