"""Where a numbered set of images is kept while it is sampled, so that killed sampling goes on."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.index.walk import SUFFIXES
from datamodules.utils.io import atomic_write, read_json, remove_abandoned, whole_file, write_json
from datamodules.utils.locks import lock, try_lock
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.pictures.images import save_png
from lightning_modules.sampling.figures import ARRAY_ENDING, FOLDER_MANIFEST, MANIFEST_ENDING
from lightning_modules.sampling.generate import SampledBatch
from lightning_modules.sampling.place import COUNT
from lightning_modules.utils.differences import differences, equal

_PLACES = "it is a folder for PNGs, or a file that ends in .npz"
_NO_FOLDERS = (*SUFFIXES, ".npy", ".zip", ".tar", ".pt", ".ckpt", ".safetensors", ".onnx", ".json")

_log = logging.getLogger(__name__)


class SampledSet(Protocol):
    """A set of images on disk."""

    manifest: Path
    """What the images were sampled with, as JSON."""

    def is_empty(self) -> bool:
        """Tell whether no image is there."""

    def missing(self, batches: Sequence[range]) -> list[range]:
        """Return the batches of which not every image is there."""

    def add(self, batch: SampledBatch) -> None:
        """Keep a batch, each file of it whole or not at all."""

    def first(self, count: int) -> Tensor:
        """Return the first images, (count, 3, H, W), uint8, once they are there."""

    def finish(self, condition: Condition) -> None:
        """Give the set its final form, once every image is there."""

    def clear(self) -> None:
        """Remove the images and the manifest."""


class SampledFolder:
    """A folder of PNGs: 00000.png, 00001.png, and so on.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / FOLDER_MANIFEST

    def is_empty(self) -> bool:
        """Tell whether no numbered image is there."""
        return not self._numbered()

    def missing(self, batches: Sequence[range]) -> list[range]:
        """Return the batches of which not every image is there."""
        return [batch for batch in batches if not all(self._path(index).is_file() for index in batch)]

    def add(self, batch: SampledBatch) -> None:
        """Write the images."""
        for index, image in zip(batch.indices, batch.images, strict=True):
            save_png(image, self._path(index))

    def first(self, count: int) -> Tensor:
        """Read the first images."""
        images = []
        for index in range(count):
            with Image.open(self._path(index)) as picture:
                images.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        return torch.stack(images)

    def finish(self, condition: Condition) -> None:
        """Nothing is left to do."""

    def clear(self) -> None:
        """Remove the numbered images and the manifest; other files of the folder stay."""
        for path in self._numbered():
            path.unlink()
        self.manifest.unlink(missing_ok=True)

    def _numbered(self) -> list[Path]:
        return [path for path in self.folder.glob("*.png") if path.stem.isdigit()]

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.png"


class SampledArray:
    """One .npz of `arr_0`, images (N, H, W, 3) uint8, and `arr_1`, what was asked of them: labels (N,) int64.

    These are the names that Dhariwal & Nichol 2021 gave their sample files, which evaluation programs read.
    While sampling goes on, batches are kept in a folder next to it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = path.with_name(f"{path.name}.parts")
        self.manifest = path.with_name(f"{path.name}{MANIFEST_ENDING}")

    def is_empty(self) -> bool:
        """Tell whether no image is there, nor a file of somebody else's."""
        return not self.path.exists() and not self.parts.is_dir()

    def missing(self, batches: Sequence[range]) -> list[range]:
        """Return the batches of which not every image is there."""
        there = self._places()
        return [batch for batch in batches if not all(index in there for index in batch)]

    def add(self, batch: SampledBatch) -> None:
        """Write the batch as a file of its own."""
        name = f"{batch.indices.start:08d}-{batch.indices.stop:08d}.npy"
        with atomic_write(self.parts / name) as file:
            np.save(file, batch.images.permute(0, 2, 3, 1).numpy())

    def first(self, count: int) -> Tensor:
        """Read the first images."""
        return torch.from_numpy(np.stack(list(self._images(count)))).permute(0, 3, 1, 2)

    def finish(self, condition: Condition) -> None:
        """Put the batches together, one in memory at a time, and remove them."""
        if not self.parts.is_dir():
            return
        shape = (len(condition), *next(self._images(1)).shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with whole_file(self.path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for image in self._images(len(condition)):
                    member.write(image.tobytes())
            for number, asked in enumerate(condition.tensors(), start=1):
                with archive.open(f"arr_{number}.npy", "w") as member:
                    np.lib.format.write_array(member, asked.numpy())
        shutil.rmtree(self.parts)

    def clear(self) -> None:
        """Remove the file, its batches and the manifest."""
        shutil.rmtree(self.parts, ignore_errors=True)
        for path in (self.path, self.manifest):
            path.unlink(missing_ok=True)

    def _places(self) -> dict[int, tuple[Path, int]]:
        """Return the file of each image that is there, and its place in it."""
        places: dict[int, tuple[Path, int]] = {}
        if self.path.is_file():
            try:
                with np.load(self.path) as archive:
                    places = {index: (self.path, index) for index in range(len(archive["arr_1"]))}
            except (zipfile.BadZipFile, KeyError, TypeError, EOFError) as error:
                raise ValueError(
                    f"{self.path} is damaged ({error}): take another --out, or --fresh to sample it again"
                ) from error
        for part in sorted(self.parts.glob("[0-9]*.npy")):
            start, stop = map(int, part.stem.split("-"))
            places |= {index: (part, index - start) for index in range(start, stop)}
        return places

    def _images(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the first images, each (H, W, 3)."""
        places = self._places()
        loaded: Path | None = None
        for index in range(count):
            path, place = places[index]
            if path != loaded:
                images, loaded = self._load(path), path
            yield images[place]

    def _load(self, path: Path) -> NDArray[np.uint8]:
        if path != self.path:
            part: NDArray[np.uint8] = np.load(path)
            return part
        with np.load(path) as archive:
            images: NDArray[np.uint8] = archive["arr_0"]
            return images


def sampled_set(out: Path) -> SampledSet:
    """Return the set at a place: a file if its name ends in .npz, else a folder.

    Raises:
        ValueError: If the place can be neither.
    """
    array = out.suffix == ARRAY_ENDING
    if out.exists() and out.is_dir() == array:
        raise ValueError(f"--out {out} is a {'folder' if array else 'file'}: {_PLACES}")
    if not array and out.suffix.lower() in _NO_FOLDERS and not out.exists():
        raise ValueError(f"--out {out} looks like the name of a file: {_PLACES}")
    return SampledArray(out) if array else SampledFolder(out)


def begin(kept: SampledSet, manifest: dict[str, Any], fresh: bool = False, fewer: bool = False) -> None:
    """Begin a set, or take up one that was begun with the same settings.

    Args:
        kept: The set.
        manifest: What its images are sampled with, plain values, the number of them under `n`.
        fresh: Whether to remove what is there first.
        fewer: Whether more images than are wanted may be there, which then stay.

    Raises:
        ValueError: If what is there was sampled with other settings, is more than what is wanted, or does not
            say what it was sampled with.
    """
    place = kept.manifest.parent
    remove_abandoned(place)
    if not kept.manifest.is_file() and not kept.is_empty():
        raise ValueError(
            f"{place} holds images already, and no {kept.manifest.name} that says how they were "
            f"sampled. Take another --out."
        )
    if fresh:
        kept.clear()
    if kept.manifest.is_file():
        there = read_json(kept.manifest, "take another --out, or --fresh to sample the images again")
        if fewer and there.get(COUNT, 0) > manifest[COUNT]:
            manifest = manifest | {COUNT: there[COUNT]}
        changed = [
            each.not_wanted()
            for each in differences(there, manifest, same=equal, within=(Mapping,))
            if not (each.name == COUNT and each.expected < each.found)
        ]
        if changed:
            raise ValueError(
                f"{place} holds images with other settings: {'; '.join(changed)}. "
                f"Take another --out, or --fresh to replace them."
            )
        if there == manifest:
            _look_for_locks(kept)
            return
    write_json(kept.manifest, manifest)
    _look_for_locks(kept)


def finish(kept: SampledSet, condition: Condition) -> None:
    """Finish a set whose every image is there, one process at a time where the file system has locks."""
    with kept.manifest.open("rb+") as file:
        lock(file.fileno(), kept.manifest)
        kept.finish(condition)


def _look_for_locks(kept: SampledSet) -> None:
    """Warn before the work, not after it, where processes that share it cannot wait for one another."""
    with kept.manifest.open("rb+") as file:
        try:
            try_lock(file.fileno())
        except OSError as error:
            _log.warning(
                "%s cannot be locked (%s): where several processes sample its parts, start the last of "
                "them once more if it fails.",
                kept.manifest,
                error.strerror or error,
            )
