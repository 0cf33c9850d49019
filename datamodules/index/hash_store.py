"""Content hashes kept between starts, so that a file is read again only when it has changed."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from datamodules.index.hashing import HASH_BYTES, UNKNOWN, Hashes
from datamodules.index.path_table import PathTable
from datamodules.utils.io import atomic_write

_FORMAT_VERSION = 1

_RACY = 2 * 10**9
"""Nanoseconds within which a further change may leave a file's times as they are: FAT counts in 2 s."""


class HashStore:
    """The hashes of one folder's files in a `.npz`, replaced at once and never changed in place.

    A hash is used again when path, size, modification time and change time are those on record. The inode is
    not asked: replacing a file renews its change time, and on network volumes inodes differ from
    mount to mount. As in git's index, a file that changed in the last moments before it was read is not
    recorded: a further change could leave its times as they are.

    Args:
        cache_dir: Folder for caches; the store goes into `hashes/`, named after the folder's path.
        root: The folder of the files, absolute.
    """

    def __init__(self, cache_dir: Path, root: Path) -> None:
        key = hashlib.blake2b(os.fsencode(root), digest_size=HASH_BYTES).hexdigest()
        self.file = cache_dir / "hashes" / f"{key}.npz"

    def load(self, paths: PathTable) -> Hashes:
        """What is on record for each of the paths, sorted; nothing if the store is missing or damaged."""
        wanted = Hashes.unknown(len(paths))
        try:
            with self.file.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                # Every array is read whole, whereupon zipfile has verified its checksum.
                if int(stored["version"]) != _FORMAT_VERSION:
                    return wanted
                text, offsets = stored["text"].tobytes(), stored["offsets"]
                known = Hashes(stored["hashes"], stored["stamps"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return wanted
        if text == paths.text:
            return known
        here, there = _common_rows(paths, PathTable(text, offsets))
        wanted.hashes[here], wanted.stamps[here] = known.hashes[there], known.stamps[there]
        return wanted

    def save(self, paths: PathTable, hashes: Hashes, read_at: int) -> None:
        """Replace what is on record.

        Args:
            paths: The paths, sorted.
            hashes: Their hashes; rows with a change less than two seconds before `read_at` are left out.
            read_at: When reading began, nanoseconds since 1970.

        Raises:
            OSError: The store cannot be written.
        """
        racy = hashes.stamps[:, 1:].max(axis=1, keepdims=True) > read_at - _RACY
        stamps = np.where(racy, UNKNOWN, hashes.stamps)
        with atomic_write(self.file) as file:
            np.savez(
                file,
                version=np.int64(_FORMAT_VERSION),
                text=np.frombuffer(paths.text, np.uint8),
                offsets=paths.offsets,
                hashes=hashes.hashes,
                stamps=stamps,
            )


def _common_rows(one: PathTable, two: PathTable) -> tuple[list[int], list[int]]:
    """Rows of the paths that stand in both tables; both are sorted, so one pass over each finds them."""
    ours, theirs = [], []
    others = enumerate(two)
    there, other = next(others, (0, None))
    for here, path in enumerate(one):
        while other is not None and other < path:
            there, other = next(others, (0, None))
        if other == path:
            ours.append(here)
            theirs.append(there)
    return ours, theirs
