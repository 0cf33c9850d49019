from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.batches.batches import ImageRows
from datamodules.batches.order import val_mask
from datamodules.cache.cache import open_cache, write_report
from datamodules.cache.pixels import DecodedImages, Images, Transform
from datamodules.decode.decode import ChangedFileError
from datamodules.index.index import DataError, ImageIndex, printable, scan_folder
from datamodules.index.skipped import passed_over
from datamodules.index.splits import SplitFolders

_FIRST_FEW = 5
_ATTEMPTS = 3  # to index a folder that is being written to


class OpenedFolder(NamedTuple):
    """A folder of images, ready to be trained on.

    Attributes:
        files: The decodable files, and those that were left out.
        report: The list of those left out; none where there is no cache to put it into.
        images: The images of `files`.
        train: Those to train on.
        val: The others.
    """

    files: ImageIndex
    report: Path | None
    images: Images
    train: ImageRows
    val: ImageRows

    def check(self, max_rejected: float) -> None:
        """Say which files were left out or passed over, and refuse to go on without too many of them.

        Args:
            max_rejected: Largest share of the files that may be left out.

        Raises:
            DataError: There are more.
        """
        others = passed_over(dict(self.files.ignored), dict(self.files.left_behind))
        if others:
            rank_zero_info(others)
        rejected = self.files.rejected
        if not rejected:
            return
        found = len(self.files) + len(rejected)
        share = len(rejected) / found
        summary = f"{len(rejected)} of {found} files in {self.files.root} ({share:.1%}) were left out"
        few = "".join(f"\n  {printable(path)}: {printable(why)}" for path, why in rejected[:_FIRST_FEW])
        if share <= max_rejected:
            where = f"; reasons: {self.report}" if self.report else f". The first:{few}"
            rank_zero_info(summary + where)
            return
        every = f"All of them: {self.report}\n" if self.report else ""
        raise DataError(
            f"{summary}, more than max_rejected={max_rejected:.1%}. The first:{few}\n"
            f"{every}Repair or remove them, or raise --data.max_rejected."
        )


def open_folder(
    folder: Path,
    transform: Transform,
    cache_dir: Path | None,
    quarantine: Path | None,
    val_fraction: float,
    class_labels: bool,
    workers: int,
    split_folders: SplitFolders = "ask",
) -> OpenedFolder:
    """Index a folder, have its images decoded, and divide them; again where it changes meanwhile.

    Args:
        folder: The folder.
        transform: What is done to every file.
        cache_dir: Where decoded images and content hashes are kept; none keeps nothing.
        quarantine: List of files to leave out.
        val_fraction: Share of the images to hold out.
        class_labels: Whether folder names are classes.
        workers: Processes that decode.
        split_folders: What first-level folders are, as `scan_folder` takes it.

    Raises:
        DataError: There is nothing to train on, or something keeps writing to the folder.
    """
    for _ in range(_ATTEMPTS):
        try:
            index, images, report = _decoded(folder, transform, cache_dir, quarantine, workers, split_folders)
            break
        except ChangedFileError as error:
            changed = error
    else:
        raise DataError(f"{changed}; wait until nothing writes to the folder") from changed
    labels = index.labels if class_labels else np.zeros_like(index.labels)
    out = val_mask(index.hashes, val_fraction)
    train, other = (ImageRows(images, labels, np.flatnonzero(rows)) for rows in (~out, out))
    return OpenedFolder(index, report, images, train, other)


def _decoded(
    folder: Path,
    transform: Transform,
    cache_dir: Path | None,
    quarantine: Path | None,
    workers: int,
    split_folders: SplitFolders,
) -> tuple[ImageIndex, Images, Path | None]:
    """Return what is in the folder, its images, and the list of what was left out."""
    index = scan_folder(folder, cache_dir, quarantine, split_folders=split_folders)
    if cache_dir is None:
        return index, DecodedImages(index, transform), None
    cache = open_cache(index, transform, cache_dir, workers)
    index = index.keep(cache.rows, cache.rejected)
    return index, cache.images, write_report(cache.folder, index.rejected)
