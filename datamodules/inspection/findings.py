"""What the facts about a folder's images mean for training on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from datamodules.duplicates import equal_rows, near_rows
from datamodules.errors import Rejected, printable
from datamodules.index import ImageIndex
from datamodules.inspection.facts import ImageFacts, Inspected

SIZES = (32, 64, 128, 256, 512, 1024)
"""Sides in pixels that are suggested."""

ENLARGED = 0.1
"""A size is suggested if no more than this share of the images must be enlarged to it."""

BORDER = 0.03
"""Share of a side from which a black bar is reported."""

FLAT = 4.0
"""Standard deviation of brightness, of 127.5, below which an image shows next to nothing."""

_FEW = 10  # images: a smaller class teaches little
_UNBALANCED = 10.0
_MEMORISED, _AT_RISK = 5.0, 50.0  # distinct pixel values per parameter

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
}

Rows = npt.NDArray[np.int64]


class Finding(NamedTuple):
    """One conclusion.

    Attributes:
        level: How bad it is.
        title: What is so, in one line.
        advice: What it means or what to do.
    """

    level: Literal["good", "look", "problem"]
    title: str
    advice: str


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
        """Rows of the index that are nearly of one colour."""
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


def findings(inspection: Inspection) -> list[Finding]:
    """Conclusions, the worst first."""
    found = [
        *_files(inspection),
        *_classes(inspection),
        *_repetitions(inspection),
        *_pictures(inspection),
        _size(inspection),
        *_capacity(inspection),
    ]
    return sorted(found, key=lambda finding: ("problem", "look", "good").index(finding.level))


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
                chosen[index.paths[row]] = (
                    f"{'a copy of' if exact else 'looks like'} {printable(index.paths[best])}"
                )
    for name, rows, reason in (
        ("borders", inspection.bordered, "has black bars"),
        ("flat", inspection.flat, "is nearly of one colour"),
    ):
        if name in also:
            chosen |= {index.paths[row]: reason for row in rows.tolist()}
    # An earlier list stays in force: what it holds would come back otherwise.
    return sorted(Rejected(*entry) for entry in (dict(index.quarantined) | chosen).items())


def _files(inspection: Inspection) -> list[Finding]:
    found = []
    rejected, looked_at = len(inspection.rejected), len(inspection.seen.rows) + len(inspection.rejected)
    if rejected:
        share = rejected / looked_at
        level: Literal["look", "problem"] = "problem" if share > 0.1 else "look"
        advice = "They are left out of training. More than --data.max_rejected of them (10 %) stop it."
        found.append(
            Finding(level, f"Files that cannot be used: {rejected} of {looked_at} ({share:.1%})", advice)
        )
    else:
        found.append(Finding("good", "Every file can be decoded", "Nothing is left out."))
    heic = sum(count for suffix, count in inspection.index.ignored if suffix in (".heic", ".heif"))
    if heic:
        advice = "No decoder for them is installed. Convert them to JPEG, or they are passed over."
        found.append(Finding("look", f"HEIC photographs that are not read: {heic}", advice))
    if len(inspection.misnamed):
        advice = "Their content decides how they are read. Nothing needs to be done."
        found.append(Finding("good", f"Files with the wrong ending: {len(inspection.misnamed)}", advice))
    return found


def _classes(inspection: Inspection) -> list[Finding]:
    counts = {name: count for name, count in inspection.class_counts.items() if count}
    if len(counts) < 2:
        advice = "Training is unconditional. For classes, make a sub-folder for each."
        return [Finding("good", "One class", advice)]
    found = []
    ratio = max(counts.values()) / min(counts.values())
    if ratio > _UNBALANCED:
        title = f"The largest of {len(counts)} classes has {ratio:.0f} times the images of the smallest"
        advice = "Rare classes are drawn rarely and learnt last: sample classes evenly, or merge rare ones."
        found.append(Finding("look", title, advice))
    else:
        found.append(Finding("good", f"{len(counts)} classes of similar size", f"At most {ratio:.1f} to 1."))
    few = [name for name, count in counts.items() if count < _FEW]
    if few:
        advice = "They will be memorised rather than learnt: add images, or merge the classes."
        found.append(Finding("look", f"Classes with fewer than {_FEW} images: {len(few)}", advice))
    return found


def _repetitions(inspection: Inspection) -> list[Finding]:
    found = []
    copies = sum(len(group) - 1 for group in inspection.copies)
    alike = len(inspection.surplus) - copies
    if copies or alike:
        title = f"Exact copies: {copies}, near duplicates: {alike}"
        advice = (
            "They are learnt more often than others, and a lookalike of a held-out image makes the held-out "
        )
        advice += "error too good. Leave them out with --quarantine FILE --also copies lookalikes."
        level: Literal["look", "problem"] = (
            "problem" if inspection.distinct < 0.8 * len(inspection.seen.rows) else "look"
        )
        found.append(Finding(level, title, advice))
    else:
        found.append(Finding("good", "No copies and no near duplicates", "Each picture is there once."))
    if inspection.mixed:
        advice = "The same picture under two labels blurs what the labels mean: decide for one."
        found.append(
            Finding("problem", f"Pictures that lie in more than one class: {len(inspection.mixed)}", advice)
        )
    return found


def _pictures(inspection: Inspection) -> list[Finding]:
    found = []
    if len(inspection.bordered):
        advice = "The model learns the bars as part of the picture. Crop them, or use --also borders."
        found.append(Finding("look", f"Images with black bars: {len(inspection.bordered)}", advice))
    if len(inspection.flat):
        advice = "Blank pages, placeholders, lens caps? Look at them, or use --also flat."
        found.append(Finding("look", f"Images that are nearly of one colour: {len(inspection.flat)}", advice))
    return found


def _size(inspection: Inspection) -> Finding:
    size, enlarged = inspection.image_size, inspection.share_enlarged(inspection.image_size)
    title = f"{enlarged:.0%} of the images are smaller than {size} px"
    advice = f"{inspection.suggested_size} px is the largest size that nine in ten of them reach."
    if enlarged > ENLARGED:
        return Finding("look", title, f"They are enlarged, and the model learns their softness. {advice}")
    return Finding("good", title, advice)


def _capacity(inspection: Inspection) -> list[Finding]:
    values = inspection.values_per_parameter
    if values is None or inspection.parameters is None:
        return []
    title = (
        f"{inspection.distinct:,} distinct images at {inspection.image_size} px: {values:.1f} pixel values "
        f"for each of the model's {inspection.parameters / 1e6:.1f} M parameters"
    )
    rule = (
        "A rule of thumb after Kadkhodaie et al. 2024: below 5 a model memorises, from 50 on it generalises."
    )
    if values < _MEMORISED:
        return [Finding("problem", title, f"Too few images: take a smaller model, or more images. {rule}")]
    if values < _AT_RISK:
        return [Finding("look", title, f"Watch the held-out error, and stop when it rises. {rule}")]
    return [Finding("good", title, rule)]


def _ending_fits(path: str, file_format: str) -> bool:
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in _ENDINGS.get(file_format, (f".{file_format.lower()}",))
