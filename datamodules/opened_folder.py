from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.utilities import rank_zero_info

from datamodules.batches import ImageRows
from datamodules.index import DataError, ImageIndex, printable
from datamodules.pixels import Images

_FIRST_FEW = 5


class OpenedFolder(NamedTuple):
    """A folder of images, ready to be trained on.

    Attributes:
        files: The decodable files, and those that were left out.
        report: The list of those left out; none where there is no cache to put it into.
        images: The images of `files`.
        train: Those to train on.
        held_out: The others.
    """

    files: ImageIndex
    report: Path | None
    images: Images
    train: ImageRows
    held_out: ImageRows

    def check(self, max_rejected: float) -> None:
        """Say which files were left out, and refuse to go on without too many of them.

        Args:
            max_rejected: Largest share of the files that may be left out.

        Raises:
            DataError: There are more.
        """
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
