"""Sets of images to compare: which ones, how many of each class, and which may serve as a floor."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datamodules.cache.cache import open_cache
from datamodules.cache.pixels import Transform
from datamodules.errors import DataError
from datamodules.image_folder import ImageFolderDataModule
from datamodules.index.index import scan_folder
from datamodules.utils.io import file_digest, read_json
from lightning_modules.metrics.features import Images
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.sampling.figures import FOLDER_MANIFEST, MANIFEST_ENDING, without_figures

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their classes.

    Args:
        name: What reports call it.
        images: uint8, (N, 3, S, S).
        labels: Index into `class_names` of each, (N,).
        class_names: Names of the classes.
        val: Whether an image was kept from training, (N,) bool.
        fingerprint: Identity of the files.
    """

    name: str
    images: Images
    labels: Rows
    class_names: tuple[str, ...]
    val: npt.NDArray[np.bool_]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.images)


def folder_images(folder: Path, image_size: int | None = None, cache_dir: Path | None = None) -> ImageSet:
    """Open a folder of images as training would: decoded once, cropped to squares, cached.

    Args:
        folder: Images; sub-folders are classes. Pictures that `ninelives sample` has written next to samples
            are left out.
        image_size: Side in pixels; None takes the shorter side of the first image.
        cache_dir: Folder of decoded images; None: no folder.

    Raises:
        DataError: If there is no image that can be decoded.
    """
    files = scan_folder(folder)
    samples = without_figures(files.root, files.paths)
    if not samples:
        raise DataError(f"{folder} holds pictures of samples, but none of the samples themselves")
    if len(samples) < len(files):
        files = files.keep(np.array(samples, dtype=np.int64), files.rejected)
    size = image_size or _side(files.root / files.paths[0])
    with contextlib.ExitStack() as stack:
        place = cache_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cache = open_cache(files, Transform(size, (255, 255, 255)), place, workers=0)
        images = cache.images.array if cache_dir else np.array(cache.images.array)
    index = files.keep(cache.rows, cache.rejected)
    nobody = np.zeros(len(index), dtype=bool)
    labels, names = index.labels, index.class_names
    sampled = files.root / FOLDER_MANIFEST
    if len(names) == 1 and sampled.is_file():
        numbers = [int(Path(path).stem) if Path(path).stem.isdecimal() else -1 for path in index.paths]
        labels, names = _sampled_classes(sampled, numbers) or (labels, names)
    return ImageSet(str(folder), images, labels, names, nobody, index.fingerprint)


def array_images(path: Path) -> ImageSet:
    """Open an .npz of images as `ninelives sample` writes it: `arr_0`, (N, S, S, 3) uint8.

    Raises:
        DataError: If it holds no such images.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            images = archive["arr_0"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no file of samples: it has no images under the name arr_0") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (images.shape[1],) * 2 + (3,):
        raise DataError(
            f"{path} is no file of samples: arr_0 is {images.dtype} of the shape {images.shape}, not uint8 "
            f"of (N, S, S, 3)"
        )
    labels = np.zeros(len(images), dtype=np.int64)
    names: tuple[str, ...] = (path.stem,)
    manifest = path.with_name(f"{path.name}{MANIFEST_ENDING}")
    if manifest.is_file():
        labels, names = _sampled_classes(manifest, range(len(images))) or (labels, names)
    nobody = np.zeros(len(images), dtype=bool)
    found = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return ImageSet(str(path), found, labels, names, nobody, file_digest(path)[:32])


def same_classes(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether two sets of classes are the same; two single classes are, regardless of their names."""
    return tuple(one) == tuple(other) or len(one) == len(other) == 1


def training_images(data: ImageFolderDataModule, name: str) -> ImageSet:
    """Return the training and the held-out images of a data module that is set up."""
    sides = (data.train_images, data.val_images)
    val = np.repeat([False, True], [len(side) for side in sides])
    labels = np.concatenate([data.train_labels, data.val_labels])
    images = np.concatenate([np.asarray(side) for side in sides])
    return ImageSet(name, images, labels, data.class_names, val, data.fingerprint)


class Side(NamedTuple):
    """Images and their labels."""

    images: Images
    """uint8, (N, 3, S, S)."""

    labels: Rows
    """(N,)."""


class Sides(NamedTuple):
    """As many training images as held-out ones, so that their errors can be compared."""

    train: Side
    val: Side


def equal_sides(real: ImageSet, wanted: int, seed: int = 0) -> Sides | None:
    """Choose as many training as held-out images, up to a number; None if nothing is held out."""
    both = [np.flatnonzero(~real.val), np.flatnonzero(real.val)]
    count = min(wanted, *(len(rows) for rows in both))
    rng = np.random.default_rng(seed)
    chosen = [np.sort(rng.permutation(rows)[:count]) for rows in both]
    train, val = (Side(real.images[rows], real.labels[rows]) for rows in chosen)
    return Sides(train, val) if count else None


def matched_counts(available: Rows, shares: npt.NDArray[np.float64], wanted: int) -> Rows:
    """Return how many images to take of each class so that the classes have given shares.

    Args:
        available: Images there are of each class, (K,).
        shares: Share of each class, (K,); classes without an image are left out of it.
        wanted: Largest number in all.

    Returns:
        Counts, (K,), none above `available`; in all the largest number up to `wanted` that has the shares.
    """
    shares = np.where(available > 0, shares, 0.0)
    if not shares.sum():
        return np.zeros_like(available)
    shares = shares / shares.sum()
    used = shares > 0
    total = int(min(wanted, np.floor((available[used] / shares[used]).min() + 1e-9)))
    exact = total * shares
    counts = np.floor(exact + 1e-9).astype(np.int64)
    for label in np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]:
        counts[label] += counts[label] < available[label]
    return counts


@dataclass(frozen=True, eq=False)
class RealSplit:
    """Two disjoint sets of real images of the same size and class balance.

    Args:
        reference: Rows that samples are compared with, (N,), held-out images before training images.
        other: Rows whose comparison with the reference is the floor, (N,).
        note: What a reader must know of the choice.
    """

    reference: Rows
    other: Rows
    note: str


def split_counts(
    labels: Rows, classes: int, wanted: int, name: str, shares: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.int64]:
    """Return how many images of each class go into each of the halves of `split_real`, (classes,).

    Raises:
        EvaluationError: If they are fewer than ten a side.
    """
    of_class = np.bincount(labels, minlength=classes)
    counts = matched_counts(of_class // 2, of_class / of_class.sum() if shares is None else shares, wanted)
    if counts.sum() < 10:
        raise EvaluationError(
            f"{name} has {len(labels)} images, which make {counts.sum()} a side with the classes matched: "
            f"too few to say anything of quality"
        )
    return counts


def split_real(
    real: ImageSet, wanted: int, shares: npt.NDArray[np.float64] | None = None, seed: int = 0
) -> RealSplit:
    """Split real images into a reference and a second set of the same size and class balance.

    Args:
        real: The real images.
        wanted: Images in each half; fewer where there are not twice as many, or a class is too small.
        shares: Share of each class in the samples; None takes the real images' own.
        seed: Seed of the choice.

    Raises:
        EvaluationError: If fewer than ten images a side are left.
    """
    rng = np.random.default_rng(seed)
    counts = split_counts(real.labels, len(real.class_names), wanted, real.name, shares)
    reference, other = [], []
    for label, count in enumerate(counts):
        rows = rng.permutation(np.flatnonzero(real.labels == label))
        rows = rows[np.argsort(~real.val[rows], kind="stable")]  # held-out images first
        reference.append(rows[:count])
        other.append(rows[count : 2 * count])
    first, second = (rng.permutation(np.concatenate(half)) for half in (reference, other))
    note = f"{int(real.val[first].sum())} held out, {int((~real.val[first]).sum())} others"
    if len(first) < wanted:
        note += f"; {wanted} were asked for, and {real.name} has no more for two sets without a common image"
    return RealSplit(first, second, note)


def class_shares(samples: ImageSet, real: ImageSet) -> tuple[npt.NDArray[np.float64] | None, str]:
    """Return the samples' share of each real class, or none with the reason where classes do not match."""
    if len(real.class_names) == 1:
        return None, "one class"
    if not set(samples.class_names) <= set(real.class_names):
        return None, f"NOT matched: {samples.name} has no sub-folders named like the classes of {real.name}"
    counts = np.bincount(samples.labels, minlength=len(samples.class_names))
    share = dict(zip(samples.class_names, counts / counts.sum(), strict=True))
    return np.array([share.get(name, 0.0) for name in real.class_names]), "matched to the samples'"


def _sampled_classes(manifest: Path, numbers: Sequence[int]) -> tuple[Rows, tuple[str, ...]] | None:
    """Return the classes of samples by their numbers in the set; None if some have none."""
    try:
        wanted = read_json(manifest)["labels"]
        names = tuple(sorted(set(wanted)))
        of_name = {name: label for label, name in enumerate(names)}
        labels = [of_name[wanted[number % len(wanted)]] for number in numbers]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (np.array(labels, dtype=np.int64), names) if min(numbers, default=-1) >= 0 else None


def _side(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as image:
        return min(image.size)
