"""A local folder onto a Volume, with a progress bar; what is there already is not sent again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import modal
from modal.types import FileEntryType

from datamodules.index.walk import FolderWalk

_BATCH_FILES = 200
_BATCH_BYTES = 64 * 2**20


class Uploaded(NamedTuple):
    """What became of a folder's files.

    Attributes:
        sent: Images sent.
        there: Images that were there.
        passed_over: How many other files there are of each ending.
    """

    sent: int
    there: int
    passed_over: dict[str, int]


def upload_folder(folder: Path, volume: modal.Volume) -> Uploaded:
    """Upload a folder's images into a folder of its name at the Volume's root.

    A file counts as being there if there is one of its name and size.

    Args:
        folder: The folder. What training would pass over is left out: hidden files, folders that systems
            leave behind, and files that are no images by their names.
        volume: The Volume.
    """
    from datamodules.utils.progress import progress

    walk = FolderWalk(str(folder))
    files = [folder / name for name in walk]
    there = sizes_on(volume, folder.name)
    names = {path: path.relative_to(folder.parent).as_posix() for path in files}
    missing = [path for path in files if there.get(names[path]) != path.stat().st_size]
    total = sum(path.stat().st_size for path in missing)
    with progress(total=total, unit="B", unit_scale=True, desc=f"uploading {folder.name}") as bar:
        for batch in _batches(missing):
            with volume.batch_upload(force=True) as upload:
                for path in batch:
                    upload.put_file(path, f"/{names[path]}")
            bar.update(sum(path.stat().st_size for path in batch))
    return Uploaded(len(missing), len(files) - len(missing), dict(walk.ignored.most_common()))


def sizes_on(volume: modal.Volume, folder: str) -> dict[str, int]:
    """Return the files of a Volume's folder with their sizes in bytes; empty if there is no such folder."""
    try:
        entries = list(volume.iterdir(f"/{folder}", recursive=True))
    except (FileNotFoundError, modal.exception.NotFoundError):
        return {}
    return {entry.path.strip("/"): entry.size for entry in entries if entry.type == FileEntryType.FILE}


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Groups that are small enough for a bar that moves, and large enough to be sent quickly."""
    batch: list[Path] = []
    size = 0
    for path in files:
        batch.append(path)
        size += path.stat().st_size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
