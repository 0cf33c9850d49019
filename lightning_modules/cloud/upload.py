"""A local folder onto a Volume, with a progress bar; what is there already is not sent again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import modal
from modal.types import FileEntryType

_BATCH_FILES = 200
_BATCH_BYTES = 64 * 2**20


def upload_folder(folder: Path, volume: modal.Volume) -> tuple[int, int]:
    """Upload a folder into a folder of its name at the Volume's root.

    A file counts as being there if there is one of its name and size.

    Args:
        folder: The folder. Hidden files are left out.
        volume: The Volume.

    Returns:
        The numbers of files sent, and of those that were there.
    """
    from tqdm import tqdm

    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder))
    there = sizes_on(volume, folder.name)
    names = {path: path.relative_to(folder.parent).as_posix() for path in files}
    missing = [path for path in files if there.get(names[path]) != path.stat().st_size]
    total = sum(path.stat().st_size for path in missing)
    with tqdm(total=total, unit="B", unit_scale=True, desc=f"uploading {folder.name}") as bar:
        for batch in _batches(missing):
            with volume.batch_upload(force=True) as upload:
                for path in batch:
                    upload.put_file(path, f"/{names[path]}")
            bar.update(sum(path.stat().st_size for path in batch))
    return len(missing), len(files) - len(missing)


def sizes_on(volume: modal.Volume, folder: str) -> dict[str, int]:
    """Return the files of a Volume's folder with their sizes in bytes; none where there is no such folder."""
    try:
        entries = list(volume.iterdir(f"/{folder}", recursive=True))
    except (FileNotFoundError, modal.exception.NotFoundError):
        return {}
    return {entry.path.strip("/"): entry.size for entry in entries if entry.type == FileEntryType.FILE}


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


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
