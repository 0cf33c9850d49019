"""Any folder of images as training and validation batches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batches import BatchNumbers, HeldOutBatches, ImageBatch, ImageRows, StepLoader, TrainBatches
from datamodules.cache import Transform, default_cache_dir, open_cache, write_report
from datamodules.drawn_cats import DrawnCats
from datamodules.index import DataError, ImageIndex, printable, scan_folder
from datamodules.order import held_out_mask
from datamodules.oxford_pets import OxfordPetCats
from datamodules.source import DataSource

# The sources are here so that the command line knows them by their short names.
__all__ = ["DrawnCats", "ImageBatch", "ImageFolderDataModule", "OxfordPetCats"]

_MEAN_IMAGES = 10_000
_FIRST_FEW = 5


class _Data(NamedTuple):
    """What `setup` opens: the decodable files, and the images of each side."""

    files: ImageIndex
    report: Path
    train: ImageRows
    held_out: ImageRows


class ImageFolderDataModule(LightningDataModule):
    """Train on a folder of images; names of sub-folders become classes.

    The class of an image is the first-level folder that it lies in; a folder without sub-folders is one
    class. Images are decoded once, into a cache, as central squares. Batch k is a pure function of (seed, k):
    a resumed run goes on in the middle of the stream, and splitting a step's batch over micro-batches or
    devices does not change which images it holds. One epoch of the Trainer is the whole run: its length is
    `max_steps`, without which it is endless.

    Args:
        root: Folder of images (JPEG, PNG, WebP, BMP, GIF, TIFF, at any depth). Goes before `source`.
        source: Where the images come from when `root` is not given. Default: cats drawn on the spot.
        image_size: Side of the square images in pixels.
        batch_size: Images per device and micro-batch.
        held_out: Share of the images that is kept for validation, in [0, 1), chosen by content: an image
            keeps its side for ever. 0 for no validation.
        flip: Mirror half of the training images, drawn anew each time an image comes round.
        class_labels: Use sub-folder names as classes. If false, every image has label 0 of one class.
        workers: Processes that decode, and that load batches. 0 does both in the main process, which is fast
            enough for loading, since the decoded images are memory-mapped.
        max_rejected: Largest share of the files that may be unreadable or out of place; above it is an error.
        background: RGB colour (0 to 255) that transparent images are laid on.
        quarantine: List of files to leave out, as `scripts/inspect_data.py --quarantine` writes it.
        cache_dir: Folder for decoded images. Default: `$XDG_CACHE_HOME/ninelives`, or `~/.cache/ninelives`.
        seed: Seed of the order and the flips, not negative.

    Raises:
        DataError: An argument is out of its range, or (from `prepare_data` and `setup`) the folder is
            missing, holds no image that can be decoded, or holds too many that cannot.
    """

    def __init__(
        self,
        root: Path | None = None,
        source: DataSource | None = None,
        image_size: int = 32,
        batch_size: int = 64,
        held_out: float = 0.05,
        flip: bool = True,
        class_labels: bool = True,
        workers: int = 0,
        max_rejected: float = 0.1,
        background: tuple[int, int, int] = (255, 255, 255),
        cache_dir: Path | None = None,
        seed: int = 0,
        quarantine: Path | None = None,
    ) -> None:
        super().__init__()
        _require(image_size >= 1, f"image_size must be at least 1 pixel, not {image_size}")
        _require(batch_size >= 1, f"batch_size must be at least 1 image, not {batch_size}")
        _require(
            0.0 <= held_out < 1.0,
            f"held_out is a share, at least 0 and below 1, not {held_out}",
        )
        _require(workers >= 0, f"workers must be 0 or more, not {workers}")
        _require(0.0 <= max_rejected <= 1.0, f"max_rejected is a share, 0 to 1, not {max_rejected}")
        colour = tuple(background)
        _require(
            len(colour) == 3 and all(0 <= value <= 255 for value in colour),
            f"background must be three values of 0 to 255 (red, green, blue), not {colour}",
        )
        _require(seed >= 0, f"seed must not be negative, not {seed}")
        self.root, self.source, self.cache_dir = root, source, cache_dir
        self.image_size, self.batch_size, self.background = image_size, batch_size, background
        self.held_out, self.flip, self.class_labels = held_out, flip, class_labels
        self.workers, self.max_rejected, self.seed = workers, max_rejected, seed
        self.quarantine = quarantine
        self._data: _Data | None = None
        self._checked = False

    def prepare_data(self) -> None:
        """Fetch or draw the images if need be, and decode them into the cache. One process per machine."""
        if self._data is None:
            self._data = self._open()

    def setup(self, stage: str | None = None) -> None:
        """Open the decoded images; at once when they are open already.

        Args:
            stage: Not used: every stage needs the same.

        Raises:
            DataError: See the class.
        """
        if self._data is None:
            self._data = self._open()
        if not self._checked:
            self._check_rejected(self._data)
            self._checked = True

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the labels; a single one where labels are not used."""
        names = self._opened.files.class_names
        return names if self.class_labels else ("images",)

    @property
    def num_classes(self) -> int:
        """Number of classes, 1 where labels are not used."""
        return len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """Identity of the decodable images: names, labels and contents, as 32 hex digits."""
        return self._opened.files.fingerprint

    @property
    def train_images(self) -> npt.NDArray[np.uint8]:
        """The training images in index order, (N, 3, S, S) uint8; a copy in memory if any are held out."""
        data = self._opened.train
        return data.images.array if len(data.rows) == len(data.labels) else data.images.array[data.rows]

    @property
    def train_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the training images, (N,) int64."""
        return self._opened.train.labels[self._opened.train.rows]

    @property
    def held_out_images(self) -> npt.NDArray[np.uint8]:
        """The held-out images in index order, a copy, (M, 3, S, S) uint8."""
        return self._opened.held_out.images.array[self._opened.held_out.rows]

    @property
    def held_out_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the held-out images, (M,) int64."""
        return self._opened.held_out.labels[self._opened.held_out.rows]

    def mean_image(self) -> Tensor:
        """Mean of the training images, over 10,000 evenly spaced ones if there are more.

        Returns:
            The mean image, float32 of shape (3, S, S) in [-1, 1].
        """
        data = self._opened.train
        n = len(data.rows)
        which = np.unique(np.linspace(0, n - 1, min(n, _MEAN_IMAGES)).round().astype(np.int64))
        total = np.zeros(data.images.array.shape[1:], dtype=np.float64)
        for start in range(0, len(which), 256):
            total += data.gather(which[start : start + 256])[0].sum(axis=0, dtype=np.float64)
        return torch.from_numpy((total / len(which) / 127.5 - 1.0).astype(np.float32))

    def train_dataloader(self) -> DataLoader[ImageBatch]:
        """Batches from the Trainer's step on to `max_steps`, uint8."""
        rank, world_size = self._rank()
        batches = TrainBatches(self._opened.train, self.batch_size, self.flip, self.seed, rank, world_size)
        _quiet_worker_advice()
        return StepLoader(
            batches,
            batch_size=None,
            sampler=BatchNumbers(self._bounds),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each start would draw from the global generator
        )

    def val_dataloader(self) -> DataLoader[ImageBatch] | list[DataLoader[ImageBatch]]:
        """The held-out images in index order, uint8; an empty list when nothing is held out."""
        rank, world_size = self._rank()
        if not len(self._opened.held_out.rows):
            # An empty list means no validation to Lightning, which would ask whether that was meant.
            warnings.filterwarnings("ignore", r"Total length of `list` across ranks is zero", UserWarning)
            return []
        batches = HeldOutBatches(self._opened.held_out, self.batch_size, rank, world_size)
        _quiet_worker_advice()
        return DataLoader(
            batches,
            batch_size=None,
            sampler=BatchNumbers(lambda: (0, len(batches))),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),
        )

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        """Turn uint8 images into float32 in [-1, 1], on the device; leave others as they are."""
        if batch.images.dtype != torch.uint8:
            return batch
        return ImageBatch(batch.images.float().div_(127.5).sub_(1.0), batch.labels)

    @property
    def _opened(self) -> _Data:
        if self._data is None:
            raise RuntimeError("the images are not open yet: call setup() first (the Trainer does)")
        return self._data

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _bounds(self) -> tuple[int, int | None]:
        """The Trainer's next micro-batch, and the one to stop before (None: endless)."""
        if self.trainer is None:
            return 0, None
        accumulate = self.trainer.accumulate_grad_batches
        stop = self.trainer.max_steps * accumulate if self.trainer.max_steps > 0 else None
        return self.trainer.global_step * accumulate, stop

    def _folder(self) -> Path:
        if self.root is not None:
            return self.root
        if self.source is None:
            self.source = DrawnCats()
        return self.source.prepare()

    def _open(self) -> _Data:
        cache_dir = self.cache_dir or default_cache_dir()
        files = scan_folder(self._folder(), cache_dir, self.quarantine)
        transform = Transform(self.image_size, (self.background[0], self.background[1], self.background[2]))
        cache = open_cache(files, transform, cache_dir, self.workers)
        index = files.keep(cache.rows, cache.rejected)
        labels = index.labels if self.class_labels else np.zeros_like(index.labels)
        out = held_out_mask(index.hashes, self.held_out)
        return _Data(
            files=index,
            report=write_report(cache.folder, index.rejected),
            train=ImageRows(cache.images, labels, np.flatnonzero(~out)),
            held_out=ImageRows(cache.images, labels, np.flatnonzero(out)),
        )

    def _check_rejected(self, data: _Data) -> None:
        """Say which files were left out, and refuse to go on without too many of them."""
        rejected = data.files.rejected
        if not rejected:
            return
        found = len(data.files) + len(rejected)
        share = len(rejected) / found
        summary = f"{len(rejected)} of {found} files in {data.files.root} ({share:.1%}) were left out"
        if share <= self.max_rejected:
            rank_zero_info(f"{summary}; reasons: {data.report}")
            return
        few = "".join(f"\n  {printable(path)}: {printable(why)}" for path, why in rejected[:_FIRST_FEW])
        raise DataError(
            f"{summary}, more than max_rejected={self.max_rejected:.1%}. The first:{few}\n"
            f"All of them: {data.report}\nRepair or remove them, or raise --data.max_rejected."
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(message)


def _quiet_worker_advice() -> None:
    """Silence Lightning's advice to add workers: gathering from a memory map outruns handing batches over."""
    warnings.filterwarnings("ignore", r".*does not have many workers", PossibleUserWarning)
