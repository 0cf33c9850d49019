"""Any folder of images as training and validation batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import LightningDataModule
from torch import Tensor

from datamodules.arguments import check_arguments, check_trainer
from datamodules.batches.augmentation import AUGMENTATIONS, Augmentation
from datamodules.batches.batches import TrainBatches, ValBatches
from datamodules.batches.finishing import AugmentedBatch, DraftBatch, Finish, ImageBatch, Residence, residence
from datamodules.batches.loader import BatchNumbers, StepLoader
from datamodules.batches.micro_batches import MicroBatches
from datamodules.batches.opened_folder import OpenedFolder, open_folder
from datamodules.batches.step_plan import LeftOut, StepPlan
from datamodules.cache.cache import default_cache_dir
from datamodules.cache.pixels import MappedImages, Transform
from datamodules.decode.decode import Limits
from datamodules.index.index import ImageIndex
from datamodules.index.splits import SplitFolders
from datamodules.sources.rendered_cats import RenderedCats
from datamodules.sources.source import DataSource
from datamodules.utils.places import as_path

__all__ = ["Augmentation", "ImageBatch", "ImageFolderDataModule"]


class ImageFolderDataModule(LightningDataModule):
    """Train on a folder of images; names of sub-folders become classes.

    The class of an image is the first-level folder that it lies in; a folder without sub-folders is one
    class. Images are decoded once, into a cache, as central squares. Batch k is a pure function of (seed, k):
    a resumed run goes on in the middle of the stream, and splitting a step's batch over micro-batches or
    devices does not change which images it holds. One epoch of the Trainer is the whole run: its length is
    `max_steps`, without which it is endless.

    Args:
        root: Folder of images (JPEG, PNG, WebP, BMP, GIF, TIFF, at any depth). Goes before `source`.
        source: Where the images come from when `root` is not given. Default: rendered cats.
        image_size: Side of the square images in pixels.
        batch_size: Images per device and micro-batch.
        val_fraction: Share of the images that is kept for validation, in [0, 1), chosen by content: an image
            keeps its side for ever. 0 for no validation.
        flip: Mirror half of the training images, at random each time an image is used.
        crop: How an image becomes a square. `center` cuts out the central one; `pad` keeps everything, with
            bars of `background`; `random` cuts another square out of the central one each time, and leaves
            the held-out images whole.
        crop_limit: Smallest side of a `random` crop, as a share of the central square's.
        augmentation: Vary the training images, and tell the network how, so that samples do not look varied.
            Off by default.
        class_balanced: Use every class equally often, regardless of its number of images.
        class_labels: Use sub-folder names as classes. If false, every image has label 0 of one class.
        workers: Processes that decode, and that load batches. 0 decodes in a thread per core and loads in the
            main process, which is fast enough, since the decoded images are memory-mapped.
        max_rejected: Largest share of the files that may be unreadable or out of place; above it is an error.
        background: RGB color (0 to 255) that transparent images are laid on.
        quarantine: List of files to leave out, as `ninelives inspect --quarantine` writes it.
        limits: Images that are rejected for their size or shape.
        split_folders: What the first-level folders are: `classes`, or parts of a data set to `merge`, whose
            own folders are then the classes. `ask` takes them for classes unless all are named as parts are
            (`train`, `val`, `test`, `images`, `masks`), which is an error.
        cache: Decode once, into a cache on disk. If false, every batch decodes its images again: it needs no
            room and is about a hundred times slower.
        cache_dir: Folder for decoded images. Default: `$XDG_CACHE_HOME/ninelives`, or `~/.cache/ninelives`.
        resident: Where batches are gathered from: the cache on `disk`, or a copy in this process's memory
            (`ram`) or the GPU's (`device`). `auto`: the GPU's if there is one and the images fill at most a
            quarter of what is free there, else the disk, read into memory beforehand if it fits.
        seed: Seed of the order and the flips, and of all other variation; not negative.

    Attributes:
        stop_requested: Asked while a worker is waited for: true means that the run is to be saved soon.

    Raises:
        DataError: An argument is out of its range, or (from `prepare_data` and `setup`) the folder is
            missing, holds no image that can be decoded, or holds too many that cannot.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        source: DataSource | None = None,
        image_size: int = 32,
        batch_size: int = 64,
        val_fraction: float = 0.05,
        flip: bool = True,
        crop: Literal["center", "pad", "random"] = "center",
        crop_limit: float = 0.75,
        augmentation: Augmentation | None = None,
        class_balanced: bool = False,
        class_labels: bool = True,
        workers: int = 0,
        max_rejected: float = 0.1,
        background: tuple[int, int, int] = (255, 255, 255),
        cache: bool = True,
        cache_dir: str | Path | None = None,
        resident: Residence = "auto",
        seed: int = 0,
        quarantine: str | Path | None = None,
        limits: Limits = Limits(),  # noqa: B008 -- a named tuple cannot change
        split_folders: SplitFolders = "ask",
    ) -> None:
        super().__init__()
        check_arguments(
            image_size=image_size,
            batch_size=batch_size,
            val_fraction=val_fraction,
            workers=workers,
            max_rejected=max_rejected,
            background=background,
            seed=seed,
            crop_limit=crop_limit,
            cache=cache,
            resident=resident,
            limits=limits,
        )
        self.root, self.source = as_path("--data.root", root), source
        self.cache, self.cache_dir = cache, as_path("--data.cache_dir", cache_dir)
        self.crop, self.crop_limit, self.augmentation = crop, crop_limit, augmentation
        self.class_balanced, self.resident = class_balanced, resident
        self.image_size, self.batch_size, self.background = image_size, batch_size, background
        self.val_fraction, self.flip, self.class_labels = val_fraction, flip, class_labels
        self.workers, self.max_rejected, self.seed = workers, max_rejected, seed
        self.quarantine, self.limits = as_path("--data.quarantine", quarantine), limits
        self.split_folders = split_folders
        self.split = 1
        self.stop_requested: Callable[[], bool] = bool
        self._loaders: list[StepLoader] = []
        self.left_out: tuple[LeftOut, ...] = ()
        self._data: OpenedFolder | None = None
        self._finish = Finish(image_size, augmentation)
        self._checked = False

    def state_dict(self) -> dict[str, Any]:
        """Return what decides the images' pixels, classes and sides, for a checkpoint that lies by itself."""
        names = ("image_size", "val_fraction", "flip", "crop", "crop_limit", "class_labels", "max_rejected")
        plain = {name: getattr(self, name) for name in names}
        return plain | {"background": list(self.background), "limits": self.limits._asdict()}

    def prepare_data(self) -> None:
        """Fetch or render missing images and decode them into the cache. One process per machine."""
        if self._data is None:
            self._data = self._open()

    def setup(self, stage: str | None = None) -> None:
        """Open the decoded images; at once when they are open already.

        Args:
            stage: What the Trainer is about to do.

        Raises:
            DataError: See the class; or a training of this data would never end.
        """
        if self._data is None:
            self._data = self._open()
        if not self._checked:
            self._data.check(self.max_rejected)
            self._checked = True
        if stage == "fit" and self.trainer is not None:
            check_trainer(self.trainer, len(self.train_labels), self.batch_size)

    def teardown(self, stage: str | None = None) -> None:
        """End the processes that load batches.

        Args:
            stage: Not used.
        """
        for loader in self._loaders:
            loader.close()
        self._loaders = []

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
    def files(self) -> ImageIndex:
        """The decodable images: names, labels, hashes of their contents."""
        return self._opened.files

    @property
    def fingerprint(self) -> str:
        """Identity of the decodable images: names, labels and contents, as 32 hex digits."""
        return self._opened.files.fingerprint

    @property
    def plan(self) -> StepPlan:
        """How the Trainer's micro-batches are laid out over the stream of batches.

        `split` and `left_out` depart from the configuration: parts that a batch is computed in, since it did
        not fit into memory whole, and windows of the data to leave out. Who sets `split` multiplies the
        Trainer's accumulation by it.
        """
        micro_batches = self.trainer.accumulate_grad_batches if self.trainer else self.split
        return StepPlan(micro_batches // self.split, self.split, self.left_out)

    @property
    def augmentations(self) -> int:
        """How many numbers tell the network what was done to an image; 0 without augmentation."""
        return 0 if self.augmentation is None else AUGMENTATIONS

    @property
    def train_images(self) -> npt.NDArray[np.uint8]:
        """The training images in index order, (N, 3, S, S) uint8; a copy in memory if any are held out."""
        return self._opened.train.all_images(self.image_size)

    @property
    def train_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the training images, (N,) int64."""
        return self._opened.train.labels[self._opened.train.rows]

    @property
    def val_images(self) -> npt.NDArray[np.uint8]:
        """The held-out images in index order, a copy, (M, 3, S, S) uint8."""
        return self._opened.val.all_images(self.image_size)

    @property
    def val_labels(self) -> npt.NDArray[np.int64]:
        """Labels of the held-out images, (M,) int64."""
        return self._opened.val.labels[self._opened.val.rows]

    def mean_image(self) -> Tensor:
        """Mean of the training images, over 10,000 evenly spaced ones if there are more.

        Returns:
            The mean image, float32 of shape (3, S, S) in [-1, 1].
        """
        return self._opened.train.mean_image(self.image_size)

    def train_dataloader(self) -> StepLoader:
        """Batches from the Trainer's step on to `max_steps`, uint8."""
        batches = TrainBatches(
            self._opened.train,
            self.batch_size,
            self.flip,
            self.seed,
            *self._rank(),
            balanced=self.class_balanced,
            crop_limit=self.crop_limit if self.crop == "random" else None,
            augmentation=self.augmentation,
            size=self.image_size,
            on_device=self._on_device(),
        )
        return self._loader(MicroBatches(batches, self.plan), BatchNumbers(self._bounds))

    def val_dataloader(self) -> StepLoader | list[StepLoader]:
        """The held-out images in index order, uint8; an empty list when nothing is held out."""
        if not len(self._opened.val.rows):
            # An empty list means no validation to Lightning, which would ask whether that was meant.
            warnings.filterwarnings("ignore", r"Total length of `list` across ranks is zero", UserWarning)
            return []
        batches = ValBatches(self._opened.val, self.batch_size, *self._rank(), on_device=self._on_device())
        return self._loader(batches, BatchNumbers(lambda: (0, len(batches))))

    def on_after_batch_transfer(
        self, batch: ImageBatch | DraftBatch, dataloader_idx: int
    ) -> ImageBatch | AugmentedBatch:
        """Turn uint8 images into float32 in [-1, 1] and vary them, on the device; leave others alone."""
        if isinstance(batch, ImageBatch) and batch.images.dtype != torch.uint8:
            return batch
        return self._finish(batch, None if self._data is None else self._data.images)

    def _loader(self, batches: MicroBatches | ValBatches, numbers: BatchNumbers) -> StepLoader:
        # Lightning would advise more workers: gathering from a memory map outruns handing batches over.
        warnings.filterwarnings("ignore", r".*does not have many workers", PossibleUserWarning)
        pinned = torch.cuda.is_available()
        loader = StepLoader(batches, numbers, self.workers, pinned, lambda: self.stop_requested())
        self._loaders.append(loader)
        return loader

    def _on_device(self) -> bool:
        """Whether the images lie on the device; else have them lie where they are to be read from."""
        images = self._opened.images
        if not isinstance(images, MappedImages):
            return False
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        place = residence(self.resident, images, device)
        if place == "ram":
            images.load() if self.resident == "ram" else images.preload()
        return place == "device"

    @property
    def _opened(self) -> OpenedFolder:
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
            self.source = RenderedCats()
        return self.source.prepare()

    def _open(self) -> OpenedFolder:
        side = math.ceil(self.image_size / self.crop_limit) if self.crop == "random" else self.image_size
        color = self.background[0], self.background[1], self.background[2]
        transform = Transform(side, color, "pad" if self.crop == "pad" else "center", self.limits)
        cache_dir = (self.cache_dir or default_cache_dir()) if self.cache else None
        return open_folder(
            self._folder(),
            transform,
            cache_dir,
            self.quarantine,
            self.val_fraction,
            self.class_labels,
            self.workers,
            self.split_folders,
        )
