"""What was seen of a folder's images, counted and grouped, and which of them to leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from datamodules.errors import Rejected, printable
from datamodules.index.duplicates import equal_rows, near_rows
from datamodules.index.index import ImageIndex
from datamodules.inspection.facts import ImageFacts, Inspected

SIZES = (32, 64, 128, 256, 512, 1024)
"""Sides in pixels that are suggested."""

ENLARGED = 0.1
"""A size is suggested if no more than this share of the images must be enlarged to it."""

BORDER = 0.03
"""Share of a side from which a black bar is reported."""

FLAT = 4.0
"""Standard deviation of brightness, of 127.5, below which an image shows next to nothing."""

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
}

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Inspection:
    """An index, what was seen of its files, and the size of the model that is to learn them.

    Attributes:
        index: The files.
        seen: Those that were looked at.
        image_size: Side in pixels that training is to use.
        parameters: Number of the model's parameters, if known.
    """

    index: ImageIndex
    seen: Inspected
    image_size: int
    parameters: int | None = None

    @cached_property
    def rejected(self) -> list[Rejected]:
        """All files that training would leave out by itself, with reasons."""
        return sorted({*self.index.rejected, *self.seen.rejected})

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Width and height of each decodable image, upright, (M, 2)."""
        sizes = [(facts.width, facts.height) for facts in self.seen.facts]
        return np.array(sizes, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Decodable images of each class, those with none included."""
        counts = np.bincount(self.index.labels[self.seen.rows], minlength=len(self.index.class_names))
        return dict(zip(self.index.class_names, counts.tolist(), strict=True))

    @cached_property
    def kinds(self) -> dict[str, int]:
        """Number of images of each format and mode, such as `JPEG RGB`, the most frequent first."""
        kinds = Counter(f"{facts.file_format} {facts.mode}" for facts in self.seen.facts)
        return dict(kinds.most_common())

    @cached_property
    def misnamed(self) -> Rows:
        """Rows of the index whose ending does not say what they are; they are read all the same."""
        return self._where(lambda path, facts: not _ending_fits(path, facts.file_format))

    @cached_property
    def bordered(self) -> Rows:
        """Rows of the index with a black bar."""
        return self._where(lambda _, facts: max(facts.borders) >= BORDER)

    @cached_property
    def flat(self) -> Rows:
        """Rows of the index that are nearly of one color."""
        return self._where(lambda _, facts: facts.contrast < FLAT)

    @cached_property
    def copies(self) -> list[Rows]:
        """Groups of rows of the index with the very same content."""
        return [self.seen.rows[group] for group in equal_rows(self.index.hashes[self.seen.rows])]

    @cached_property
    def lookalikes(self) -> list[Rows]:
        """Groups of rows of the index that look the same but are not all the same file; flat ones apart."""
        textured = np.array([i for i, f in enumerate(self.seen.facts) if f.contrast >= FLAT], dtype=np.int64)
        packed = b"".join(self.seen.facts[i].perceptual for i in textured)
        hashes = np.frombuffer(packed, dtype=np.uint8).reshape(len(textured), -1 if len(textured) else 32)
        groups = [self.seen.rows[textured[group]] for group in near_rows(hashes)]
        return [group for group in groups if len(np.unique(self.index.hashes[group], axis=0)) > 1]

    @cached_property
    def surplus(self) -> dict[int, int]:
        """Rows that could go without loss, each with the row that shows the same and is the largest."""
        area = dict(zip(self.seen.rows.tolist(), self.sizes.prod(axis=1).tolist(), strict=True))
        kept: dict[int, int] = {}
        for group in (*self.copies, *self.lookalikes):
            rows = [row for row in group.tolist() if row not in kept]
            best = max(rows, key=lambda row: (area[row], -row))
            kept |= {row: best for row in rows if row != best}
        # The best of the copies may itself give way to a larger lookalike.
        return {row: kept.get(best, best) for row, best in kept.items()}

    @cached_property
    def mixed(self) -> list[Rows]:
        """Groups of copies or lookalikes that lie in more than one class."""
        groups = (*self.copies, *self.lookalikes)
        return [group for group in groups if len(np.unique(self.index.labels[group])) > 1]

    @property
    def distinct(self) -> int:
        """Images that are left when copies and lookalikes count once."""
        return len(self.seen.rows) - len(self.surplus)

    @property
    def suggested_size(self) -> int:
        """The largest size that nine in ten of the images reach, at least the smallest of `SIZES`."""
        reached = [size for size in SIZES if self.share_enlarged(size) <= ENLARGED]
        return max(reached, default=SIZES[0])

    @property
    def values_per_parameter(self) -> float | None:
        """Pixel values of the distinct images at the training size, over the model's parameters."""
        if not self.parameters:
            return None
        return self.distinct * 3 * self.image_size**2 / self.parameters

    def share_enlarged(self, size: int) -> float:
        """Share of the images whose shorter side is below `size`."""
        return float((self.sizes.min(axis=1) < size).mean()) if len(self.sizes) else 0.0

    def _where(self, condition: Callable[[str, ImageFacts], bool]) -> Rows:
        pairs = zip(self.seen.rows.tolist(), self.seen.facts, strict=True)
        return np.array([row for row, f in pairs if condition(self.index.paths[row], f)], dtype=np.int64)


def to_quarantine(inspection: Inspection, also: Collection[str]) -> list[Rejected]:
    """Files to leave out, sorted, with reasons: those that cannot be used, and what else is asked for.

    Args:
        inspection: What was found.
        also: Any of `copies`, `lookalikes` (of both the largest image stays), `borders` and `flat`.
    """
    index = inspection.index
    chosen = dict(inspection.rejected)
    copied = {row for group in inspection.copies for row in group.tolist()}
    if "copies" in also or "lookalikes" in also:
        for row, best in inspection.surplus.items():
            exact = row in copied and bool((index.hashes[row] == index.hashes[best]).all())
            if ("copies" if exact else "lookalikes") in also:
                other = "" if index.labels[row] == index.labels[best] else ", which is of another class: look"
                chosen[index.paths[row]] = (
                    f"{'a copy of' if exact else 'looks like'} {printable(index.paths[best])}{other}"
                )
    for name, rows, reason in (
        ("borders", inspection.bordered, "has black bars"),
        ("flat", inspection.flat, "is nearly of one color"),
    ):
        if name in also:
            chosen |= {index.paths[row]: reason for row in rows.tolist()}
    # An earlier list stays in force: without it, what it lists would come back.
    return sorted(Rejected(*entry) for entry in (dict(index.quarantined) | chosen).items())


def _ending_fits(path: str, file_format: str) -> bool:
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in _ENDINGS.get(file_format, (f".{file_format.lower()}",))
