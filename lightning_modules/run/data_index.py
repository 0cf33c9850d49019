"""What a run's images were, in 4 bytes an image, so that a refusal can say what changed in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.index.index import ImageIndex, printable
from datamodules.utils.io import atomic_write
from lightning_modules.checkpoints.errors import write_errors
from lightning_modules.run.directory import RunDirectory

_log = logging.getLogger(__name__)
_FEW = 5


class DataIndex(NamedTuple):
    """The images of a run: the beginnings of their contents' hashes, and how many each class has.

    32 bits of a hash are 4 MB for a million images, and one in 4,000 of new images there is taken for one of
    the run's: enough to count them.
    """

    fingerprint: str
    hashes: NDArray[np.uint32]
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]

    @staticmethod
    def of(files: ImageIndex) -> DataIndex:
        """Make it of the decodable images of a folder."""
        beginnings = np.ascontiguousarray(files.hashes[:, :4]).view("<u4").ravel()
        counts = np.bincount(files.labels, minlength=len(files.class_names))
        return DataIndex(
            files.fingerprint, np.sort(beginnings), files.class_names, tuple(map(int, counts.tolist()))
        )

    def save(self, folder: Path) -> None:
        """Write it into a run directory, whole.

        Raises:
            CheckpointWriteError: If the file system refuses.
        """
        path = RunDirectory(folder).data_index
        with write_errors(path), atomic_write(path) as file:
            np.savez(
                file,
                fingerprint=np.array(self.fingerprint),
                hashes=self.hashes,
                class_names=np.array([printable(name) for name in self.class_names], dtype=np.str_),
                class_counts=np.array(self.class_counts, dtype=np.int64),
            )

    def keep(self, folder: Path) -> None:
        """Write it into a run directory, unless it is there.

        Raises:
            CheckpointWriteError: If the file system refuses.
        """
        if DataIndex.load(folder, self.fingerprint) is None:
            self.save(folder)

    @staticmethod
    def load(folder: Path, fingerprint: str) -> DataIndex | None:
        """Return that of a run directory, or none if it is not there, damaged, or not of this fingerprint."""
        path = RunDirectory(folder).data_index
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                index = DataIndex(
                    str(stored["fingerprint"]),
                    stored["hashes"],
                    tuple(map(str, stored["class_names"].tolist())),
                    tuple(map(int, stored["class_counts"].tolist())),
                )
        except FileNotFoundError:
            return None
        except Exception as error:  # any error of a damaged archive: it only explains
            _log.debug("%s is not used: %s", path, error)
            return None
        return index if index.fingerprint == fingerprint else None

    def changed_since(self, before: DataIndex | None) -> str:
        """Say in a line what is new and what is gone, compared with a run's images."""
        count = len(self.hashes)
        if before is None:
            return f"data: the run was trained on other images than these {count:,}"
        new, gone = _new_and_gone(before.hashes, self.hashes)
        names = tuple(map(printable, self.class_names))
        said = [f"data: {len(before.hashes):,} images in the run, {count:,} now"]
        if new or gone:
            said.append(f"{new:,} of them new, {gone:,} gone")
        elif sorted(zip(names, self.class_counts, strict=True)) == sorted(
            zip(before.class_names, before.class_counts, strict=True)
        ):
            said.append("the same ones under other names")
        else:
            said.append("the same ones in other classes")
        for what, classes in (
            ("new", sorted(set(names) - set(before.class_names))),
            ("gone", sorted(set(before.class_names) - set(names))),
        ):
            if classes:
                said.append(f"{what} classes: {_listed(classes)}")
        return f"{said[0]}, {'; '.join(said[1:])}"


def _new_and_gone(before: NDArray[np.uint32], now: NDArray[np.uint32]) -> tuple[int, int]:
    """Count what one list has and the other has not, copies by their number."""
    _, place = np.unique(np.concatenate([before, now]), return_inverse=True)
    more = np.bincount(place, weights=np.repeat([-1.0, 1.0], [len(before), len(now)]))
    return int(more[more > 0].sum()), int(-more[more < 0].sum())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW:,} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
