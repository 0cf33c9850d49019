"""A folder of images as an immutable list of files, labels and content hashes."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Endings, in any case, of the files that are taken for images."""

_HASH_BYTES = 16


class DataError(ValueError):
    """The data cannot be used as it is; the message says what is wrong, where, and what to do."""


class Rejected(NamedTuple):
    """A file that is left out.

    Attributes:
        path: POSIX path relative to the root.
        reason: Why, in one line.
    """

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """What is in a folder: N image files, sorted by their POSIX path.

    Attributes:
        root: The folder, absolute.
        paths: POSIX paths relative to `root`, sorted.
        labels: Class of each file, (N,) int64, an index into `class_names`. Read-only.
        class_names: First-level folder names, sorted; for a folder without class folders its own name alone.
        hashes: BLAKE2b-128 of each file's content, (N, 16) uint8. Read-only.
        rejected: Files that were left out, with reasons.
    """

    root: Path
    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    hashes: npt.NDArray[np.uint8]
    rejected: tuple[Rejected, ...] = ()

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        self.hashes.setflags(write=False)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of all names, labels and contents, 32 hex digits; the same wherever the folder lies."""
        digest = hashlib.blake2b(digest_size=_HASH_BYTES)
        for text in (*self.class_names, "", *self.paths):
            digest.update(os.fsencode(text) + b"\0")
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update(self.hashes.tobytes())
        return digest.hexdigest()

    def keep(self, rows: npt.NDArray[np.int64], rejected: tuple[Rejected, ...]) -> ImageIndex:
        """The index of the given rows alone; a class of which no image is left is no class any more.

        Args:
            rows: Rows to keep, (M,) int64, ascending.
            rejected: The files of the other rows, with reasons.
        """
        used, labels = np.unique(self.labels[rows], return_inverse=True)
        return ImageIndex(
            root=self.root,
            paths=tuple(self.paths[row] for row in rows),
            labels=labels.astype(np.int64),
            class_names=tuple(self.class_names[label] for label in used),
            hashes=self.hashes[rows],
            rejected=tuple(sorted({*self.rejected, *rejected})),
        )


def scan_folder(root: Path) -> ImageIndex:
    """Index every image file under a folder; nothing is decoded yet.

    The class of a file is the name of the first-level folder that it lies in, however deep. Without any such
    folder all files are one class; beside class folders, files directly under the root have no class and are
    rejected. Hidden files and folders are ignored, links are followed, links back to a parent are not.

    Args:
        root: The folder.

    Returns:
        The index, with at least one file.

    Raises:
        DataError: `root` does not exist, is no folder, or holds no image file.
    """
    folder = _existing_folder(root)
    rejected: list[Rejected] = []
    candidates = sorted(_walk(folder, "", (_folder_identity(folder),), rejected))
    nested = [path for path in candidates if "/" in path]
    if nested:
        beside = "lies beside the class folders: move it into one of them"
        rejected += [Rejected(path, beside) for path in candidates if "/" not in path]
        candidates = nested
    paths, hashes = _hash_all(folder, candidates, rejected)
    if not paths:
        raise DataError(_nothing_found(folder, rejected))
    classes = [path.split("/", 1)[0] if nested else folder.name or "images" for path in paths]
    class_names, labels = np.unique(np.array(classes, dtype=object), return_inverse=True)
    return ImageIndex(
        root=folder,
        paths=tuple(paths),
        labels=labels.astype(np.int64),
        class_names=tuple(str(name) for name in class_names),
        hashes=np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, _HASH_BYTES),
        rejected=tuple(sorted(rejected)),
    )


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 (a file name can hold any) escaped, fit for a log or a report."""
    return text.encode("utf-8", "backslashreplace").decode()


def _existing_folder(root: Path) -> Path:
    folder = root.expanduser().resolve()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataError(f"{root} is a file, not a folder of images; give the folder that it lies in")
    siblings = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
    near = difflib.get_close_matches(folder.name, siblings, n=1)
    hint = f"; did you mean {root.parent / near[0]}?" if near else f" (looked for {folder})"
    raise DataError(f"folder {root} does not exist{hint}")


def _folder_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a folder; None for anything else, also for what cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _walk(
    folder: Path, prefix: str, parents: tuple[tuple[int, int] | None, ...], rejected: list[Rejected]
) -> Iterator[str]:
    """Relative POSIX paths of the image files under `folder`; `parents` are the folders that it lies in."""
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        rejected.append(Rejected(prefix.rstrip("/"), f"the folder cannot be read: {error.strerror}"))
        return
    for path in entries:
        identity = _folder_identity(path)
        if identity is None:
            if path.name.lower().endswith(SUFFIXES):
                yield prefix + path.name
        elif identity not in parents:  # else a link back: everything behind it is indexed already
            yield from _walk(path, f"{prefix}{path.name}/", (*parents, identity), rejected)


def _hash_all(folder: Path, candidates: list[str], rejected: list[Rejected]) -> tuple[list[str], list[bytes]]:
    paths, hashes = [], []
    for name in tqdm(candidates, desc="reading files", unit="file", delay=2.0):
        try:
            digest = _content_hash(folder / name)
        except OSError as error:
            rejected.append(Rejected(name, (error.strerror or str(error)).lower()))
        else:
            paths.append(name)
            hashes.append(digest)
    return paths, hashes


def _content_hash(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # to open a named pipe would wait for ever
        raise OSError("not a regular file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_HASH_BYTES)).digest()


def _nothing_found(folder: Path, rejected: list[Rejected]) -> str:
    if rejected:
        first = rejected[0]
        return (
            f"no usable image in {folder}: {len(rejected)} rejected, "
            f"the first is {printable(first.path)} ({first.reason})"
        )
    return f"no image in {folder} (looked for files ending in {' '.join(SUFFIXES)} at any depth)"
