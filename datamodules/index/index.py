"""A folder of images as an immutable list of files, labels and content hashes."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datamodules.errors import DataError, Rejected, printable
from datamodules.index.duplicates import equal_rows
from datamodules.index.hash_store import HashStore
from datamodules.index.hashing import HASH_BYTES, Hashes, hash_files
from datamodules.index.path_table import PathTable
from datamodules.index.quarantine import read_quarantine
from datamodules.index.splits import SplitFolders, ask_about, parts_of_a_data_set
from datamodules.index.walk import SUFFIXES, FolderWalk
from datamodules.utils.places import cache_place, existing_folder
from datamodules.utils.progress import progress

__all__ = ["SUFFIXES", "DataError", "ImageIndex", "Rejected", "printable", "scan_folder"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """What is in a folder: N image files, sorted by their POSIX path.

    Attributes:
        root: The folder, absolute.
        paths: POSIX paths relative to `root`, sorted; any other sequence of them is made a table.
        labels: Class of each file, (N,) int64, an index into `class_names`. Read-only.
        class_names: First-level folder names, sorted; for a folder without class folders its own name alone.
        hashes: BLAKE2b-128 of each file's content, (N, 16) uint8. Read-only.
        rejected: Files that were left out, with reasons.
        quarantined: Files that were left out because a quarantine list says so, with its reasons.
        ignored: How many files of each other extension there are.
        left_behind: How many folders of each name, and `hidden images`, were skipped as a system's.
    """

    root: Path
    paths: PathTable
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    hashes: npt.NDArray[np.uint8]
    rejected: tuple[Rejected, ...] = ()
    quarantined: tuple[Rejected, ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    left_behind: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", PathTable.of(self.paths))
        self.labels.setflags(write=False)
        self.hashes.setflags(write=False)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of all names, labels and contents, 32 hex digits; the same wherever the folder lies."""
        digest = hashlib.blake2b(digest_size=HASH_BYTES)
        for text in (*self.class_names, ""):
            digest.update(os.fsencode(text) + b"\0")
        digest.update(self.paths.text)
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update(self.hashes.tobytes())
        return digest.hexdigest()

    @cached_property
    def duplicates(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Groups of rows with the very same content: arrays of two or more rows each, ascending."""
        return equal_rows(self.hashes)

    def keep(self, rows: npt.NDArray[np.int64], rejected: tuple[Rejected, ...]) -> ImageIndex:
        """The index of the given rows alone; a class of which no image is left is no class any more.

        Args:
            rows: Rows to keep, (M,) int64, ascending.
            rejected: The files of the other rows, with reasons.
        """
        used, labels = np.unique(self.labels[rows], return_inverse=True)
        whole = len(rows) == len(self)
        return ImageIndex(
            root=self.root,
            paths=self.paths if whole else self.paths.take(rows),
            labels=labels.astype(np.int64),
            class_names=tuple(self.class_names[label] for label in used),
            hashes=self.hashes if whole else self.hashes[rows],
            rejected=tuple(sorted({*self.rejected, *rejected})),
            quarantined=self.quarantined,
            ignored=self.ignored,
            left_behind=self.left_behind,
        )


def scan_folder(
    root: Path | str,
    cache_dir: Path | str | None = None,
    quarantine: Path | str | None = None,
    threads: int | None = None,
    split_folders: SplitFolders = "classes",
) -> ImageIndex:
    """Index every image file under a folder; nothing is decoded yet.

    The class of a file is the name of the first-level folder that it lies in, however deep. Without any such
    folder all files are one class; next to class folders, files directly under the root have no class and are
    rejected. Hidden files and folders and those of systems are skipped, links are followed, links back to
    a parent are not.

    Args:
        root: The folder.
        cache_dir: Where content hashes are kept, so that the next start reads only what has changed. Default:
            nowhere.
        quarantine: List of files to leave out (see `datamodules.index.quarantine`).
        threads: Files that are read at once. Default: a few more than there are cores.
        split_folders: What the first-level folders are: `classes`; parts to `merge`, so that the folders
            inside them are the classes; or, if all of them are named as parts of a data set are (`train`,
            `val`, `test`), something to `ask` about, which is an error, else classes.

    Returns:
        The index, with at least one file.

    Raises:
        DataError: `root` does not exist, is no folder, or holds no image file, or the quarantine list cannot
            be read; or see `split_folders`.
    """
    folder = existing_folder(root)
    excluded = read_quarantine(Path(quarantine)) if quarantine else {}
    walk = FolderWalk(str(folder))
    candidates = PathTable.of(progress(walk, desc="listing files", unit="file", delay=2.0, leave=False))
    rejected = list(walk.rejected)
    if split_folders == "ask" and parts_of_a_data_set(names := _first_level(candidates)):
        raise ask_about(Path(root), names)
    level = 1 if split_folders == "merge" else 0
    candidates, nested, quarantined = _sort_out(candidates, excluded, rejected, level)
    if len(quarantined) < len(excluded):
        missing = len(excluded) - len(quarantined)
        _log.warning("%d of %d files listed in %s are not in %s", missing, len(excluded), quarantine, folder)
    paths, hashes = _read_all(folder, candidates, cache_dir, threads, rejected)
    if not len(paths):
        raise DataError(_nothing_found(folder, rejected, quarantined, walk.ignored))
    labels, class_names = _classes(paths, None if nested else folder.name or "images", level)
    return ImageIndex(
        root=folder,
        paths=paths,
        labels=labels,
        class_names=class_names,
        hashes=hashes,
        rejected=tuple(sorted(rejected)),
        quarantined=tuple(quarantined),
        ignored=tuple(sorted(walk.ignored.items())),
        left_behind=tuple(sorted(walk.left_behind.items())),
    )


def _first_level(paths: PathTable) -> list[str]:
    """Names of the first-level folders, sorted."""
    return sorted({path.partition("/")[0] for path in paths if "/" in path})


def _sort_out(
    candidates: PathTable, excluded: Mapping[str, str], rejected: list[Rejected], level: int
) -> tuple[PathTable, bool, list[Rejected]]:
    """Remove what lies next to class folders (added to `rejected`) and what is excluded.

    Class folders lie inside so many folders as `level` says.

    Returns:
        The files that are left, whether there are class folders, and the excluded files that were there.
    """
    nested = any(path.count("/") > level for path in candidates)
    quarantined: list[Rejected] = []
    kept: list[int] = []
    for row, path in enumerate(candidates):
        if path in excluded:
            quarantined.append(Rejected(path, excluded[path]))
        elif nested and path.count("/") <= level:
            rejected.append(Rejected(path, "lies next to the class folders: move it into one of them"))
        else:
            kept.append(row)
    if len(kept) < len(candidates):
        candidates = candidates.take(np.array(kept, dtype=np.int64))
    return candidates, nested, quarantined


def _read_all(
    folder: Path,
    paths: PathTable,
    cache_dir: Path | str | None,
    threads: int | None,
    rejected: list[Rejected],
) -> tuple[PathTable, npt.NDArray[np.uint8]]:
    """Hash what is not on record, and keep a record of it; what cannot be read is added to `rejected`."""
    store = HashStore(cache_place(cache_dir), folder) if cache_dir else None
    hashes = store.load(paths) if store else Hashes.unknown(len(paths))
    recorded = hashes.stamps.copy()
    started = time.time_ns()
    try:
        with progress(total=len(paths), desc="reading files", unit="file", delay=2.0) as bar:
            failed = hash_files(str(folder), paths, hashes, bar.update, threads)
    finally:  # so that an interrupted first start has not read for nothing
        if store and not np.array_equal(recorded, hashes.stamps):
            _save(store, paths, hashes, started)
    if not failed:
        return paths, hashes.hashes
    rejected += [Rejected(paths[row], reason) for row, reason in failed.items()]
    kept = np.setdiff1d(np.arange(len(paths)), list(failed))
    return paths.take(kept), hashes.hashes[kept]


def _save(store: HashStore, paths: PathTable, hashes: Hashes, started: int) -> None:
    try:
        store.save(paths, hashes, started)
    except OSError as error:  # the next start reads the files again, no more
        _log.warning("content hashes cannot be kept in %s: %s", store.file.parent, error.strerror or error)


def _classes(
    paths: PathTable, single: str | None, level: int
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels (N,) and sorted class names; with a name in `single` all files are of that one class."""
    if single is not None:
        return np.zeros(len(paths), dtype=np.int64), (single,)
    numbers: dict[str, int] = {}  # in the order of the paths, where `a-b/` comes before `a/`
    found = (numbers.setdefault(path.split("/", level + 1)[level], len(numbers)) for path in paths)
    labels = np.fromiter(found, dtype=np.int64, count=len(paths))
    names = sorted(numbers)
    rank = np.empty(len(names), dtype=np.int64)
    rank[[numbers[name] for name in names]] = np.arange(len(names))
    return rank[labels], tuple(names)


def _nothing_found(
    folder: Path, rejected: list[Rejected], quarantined: list[Rejected], ignored: Counter[str]
) -> str:
    if rejected:
        first = rejected[0]
        return (
            f"no usable image in {folder}: {len(rejected)} rejected, "
            f"the first is {printable(first.path)} ({first.reason})"
        )
    if quarantined:
        return f"no image is left in {folder}: all {len(quarantined)} are in the quarantine list"
    others = ", ".join(f"{count} {suffix or 'without ending'}" for suffix, count in ignored.most_common(4))
    seen = f"; it holds other files: {printable(others)}" if others else ""
    return f"no image in {folder} (looked for files ending in {' '.join(SUFFIXES)} at any depth){seen}"
