"""Where a numbered set of images is kept while it is drawn, so that a killed drawing goes on."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.index.walk import SUFFIXES
from datamodules.utils.io import remove_abandoned, whole_file
from datamodules.utils.locks import lock, try_lock
from lightning_modules.pictures.images import save_png
from lightning_modules.run.files import read_json
from lightning_modules.sampling.figures import ARRAY_ENDING, FOLDER_MANIFEST, MANIFEST_ENDING
from lightning_modules.sampling.generate import DrawnBatch
from lightning_modules.sampling.place import COUNT
from lightning_modules.utils.files import write_json

_PLACES = "it is a folder for PNGs, or a file that ends in .npz"
_NO_FOLDERS = (*SUFFIXES, ".npy", ".zip", ".tar", ".pt", ".ckpt", ".safetensors", ".onnx", ".json")
_LONG = 120

_log = logging.getLogger(__name__)


class DrawnSet(Protocol):
    """A set of images on disk."""

    manifest: Path
    """What the images were drawn with, as JSON."""

    def is_empty(self) -> bool:
        """Tell whether no image is there."""

    def missing(self, batches: Sequence[range]) -> list[range]:
        """Return the batches of which not every image is there."""

    def add(self, batch: DrawnBatch) -> None:
        """Keep a batch, each file of it whole or not at all."""

    def first(self, count: int) -> Tensor:
        """Return the first images, (count, 3, H, W), uint8, once they are there."""

    def finish(self, labels: Sequence[int]) -> None:
        """Give the set its final form, once every image is there."""

    def clear(self) -> None:
        """Remove the images and the manifest."""


class DrawnFolder:
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

    def add(self, batch: DrawnBatch) -> None:
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

    def finish(self, labels: Sequence[int]) -> None:
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


class DrawnArray:
    """One .npz of `arr_0`, images (N, H, W, 3) uint8, and `arr_1`, labels (N,) int64.

    These are the names that Dhariwal & Nichol 2021 gave their sample files, which evaluation programs read.
    While drawing goes on, batches are kept in a folder beside it.

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

    def add(self, batch: DrawnBatch) -> None:
        """Write the batch as a file of its own."""
        name = f"{batch.indices.start:08d}-{batch.indices.stop:08d}.npy"
        with whole_file(self.parts / name) as temporary, temporary.open("wb") as file:
            np.save(file, batch.images.permute(0, 2, 3, 1).numpy())

    def first(self, count: int) -> Tensor:
        """Read the first images."""
        return torch.from_numpy(np.stack(list(self._images(count)))).permute(0, 3, 1, 2)

    def finish(self, labels: Sequence[int]) -> None:
        """Put the batches together, one in memory at a time, and remove them."""
        if not self.parts.is_dir():
            return
        shape = (len(labels), *next(self._images(1)).shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with whole_file(self.path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for image in self._images(len(labels)):
                    member.write(image.tobytes())
            with archive.open("arr_1.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(labels, dtype=np.int64))
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
                    f"{self.path} is damaged ({error}): take another --out, or --fresh to draw it anew"
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


def drawn_set(out: Path) -> DrawnSet:
    """Return the set at a place: a file if its name ends in .npz, and a folder otherwise.

    Raises:
        ValueError: If the place can be neither.
    """
    array = out.suffix == ARRAY_ENDING
    if out.exists() and out.is_dir() == array:
        raise ValueError(f"--out {out} is a {'folder' if array else 'file'}: {_PLACES}")
    if not array and out.suffix.lower() in _NO_FOLDERS and not out.exists():
        raise ValueError(f"--out {out} looks like the name of a file: {_PLACES}")
    return DrawnArray(out) if array else DrawnFolder(out)


def begin(drawn: DrawnSet, manifest: dict[str, Any], fresh: bool = False, fewer: bool = False) -> None:
    """Begin a set, or take up one that was begun with the same settings.

    Args:
        drawn: The set.
        manifest: What its images are drawn with, plain values, the number of them under `n`.
        fresh: Whether to remove what is there first.
        fewer: Whether more images than are wanted may be there, which then stay.

    Raises:
        ValueError: If what is there was drawn with other settings, is more than what is wanted, or does not
            say what it was drawn with.
    """
    place = drawn.manifest.parent
    remove_abandoned(place)
    if not drawn.manifest.is_file() and not drawn.is_empty():
        raise ValueError(
            f"{place} holds images already, and no {drawn.manifest.name} that says what they were drawn "
            f"with. Take another --out."
        )
    if fresh:
        drawn.clear()
    if drawn.manifest.is_file():
        there = read_json(drawn.manifest, "take another --out, or --fresh to draw the images anew")
        if fewer and there.get(COUNT, 0) > manifest[COUNT]:
            manifest = manifest | {COUNT: there[COUNT]}
        differences = [
            f"{name} is {_short(old)}, not {_short(new)}"
            for name, old, new in _differences(there, manifest)
            if not (name == COUNT and old < new)
        ]
        if differences:
            raise ValueError(
                f"{place} holds images that were drawn otherwise: {'; '.join(differences)}. "
                f"Take another --out, or --fresh to replace them."
            )
        if there == manifest:
            _look_for_locks(drawn)
            return
    write_json(manifest, drawn.manifest)
    _look_for_locks(drawn)


def finish(drawn: DrawnSet, labels: Sequence[int]) -> None:
    """Finish a set whose every image is there, one process at a time where the file system has locks."""
    with drawn.manifest.open("rb+") as file:
        lock(file.fileno(), drawn.manifest)
        drawn.finish(labels)


def _short(value: Any) -> str:  # noqa: ANN401
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def _look_for_locks(drawn: DrawnSet) -> None:
    """Warn before the work, not after it, where processes that share it cannot wait for one another."""
    with drawn.manifest.open("rb+") as file:
        try:
            try_lock(file.fileno())
        except OSError as error:
            _log.warning(
                "%s cannot be locked (%s): where several processes draw its parts, start the last of "
                "them once more if it fails.",
                drawn.manifest,
                error.strerror or error,
            )


def _differences(there: Any, wanted: Any, name: str = "") -> list[tuple[str, Any, Any]]:  # noqa: ANN401
    """Return the names of the plain values that differ, with both values."""
    if not (isinstance(there, dict) and isinstance(wanted, dict)):
        return [] if there == wanted else [(name, there, wanted)]
    found = []
    for key in dict.fromkeys([*there, *wanted]):
        inner = f"{name}.{key}" if name else key
        found += _differences(there.get(key), wanted.get(key), inner)
    return found
