"""Batches by number: what a loader asks for is an integer, what it gets depends on that integer alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.batches.augmentation import Augmentation
from datamodules.batches.balance import BalancedStream
from datamodules.batches.crop import crop_boxes
from datamodules.batches.finishing import DraftBatch, ImageBatch, normalized, shrunk
from datamodules.batches.order import flips, stream_indices
from datamodules.cache.pixels import Images, MappedImages

_ROWS_AT_A_TIME = 256
_MEAN_IMAGES = 10_000


class ImageRows(NamedTuple):
    """Some rows of an array of images.

    Attributes:
        images: All images, (M, 3, R, R) uint8.
        labels: Their classes, (M,) int64.
        rows: The rows that are meant, (N,) int64.
    """

    images: Images
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    def gather(self, which: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Copy the images (B, 3, R, R) and labels (B,) at the positions `which` (B,) of `rows`."""
        rows = self.rows[which]
        return self.images.gather(rows), self.labels[rows]

    def all_images(self, size: int) -> npt.NDArray[np.uint8]:
        """The whole images at `size` pixels, (N, 3, S, S); the map itself where that is the same."""
        if isinstance(self.images, MappedImages) and size == self.images.shape[-1]:
            return self.images.array if len(self.rows) == len(self.labels) else self.images.array[self.rows]
        result = np.empty((len(self.rows), 3, size, size), np.uint8)
        for start in range(0, len(self.rows), _ROWS_AT_A_TIME):
            part = self.images.gather(self.rows[start : start + _ROWS_AT_A_TIME])
            result[start : start + len(part)] = shrunk(torch.from_numpy(part), size).numpy()
        return result

    def mean_image(self, size: int) -> Tensor:
        """Mean of the images, over 10,000 evenly spaced ones if there are more; (3, S, S) in [-1, 1]."""
        n = len(self.rows)
        which = np.unique(np.linspace(0, n - 1, min(n, _MEAN_IMAGES)).round().astype(np.int64))
        total = torch.zeros(3, size, size, dtype=torch.float64)
        for start in range(0, len(which), _ROWS_AT_A_TIME):
            part = torch.from_numpy(self.gather(which[start : start + _ROWS_AT_A_TIME])[0])
            total += shrunk(part, size).sum(dim=0, dtype=torch.float64)
        return normalized(total / len(which)).float()


class TrainBatches(Dataset[ImageBatch | DraftBatch]):
    """Batch `k` of training, a pure function of (seed, k, rank).

    The stream of shuffled epochs is dealt out in order: batch k of rank r of W takes the B positions from
    `k * B * W + r * B`. The images of one optimizer step are thus the same however its batch is split over
    ranks and micro-batches, and so are their flips, crops and augmentations, which belong to the positions.

    Args:
        data: The training images, at least one.
        batch_size: Images per batch and rank (B).
        flip: Mirror half of the images, at random at each position of the stream.
        seed: Non-negative seed.
        rank: This process (r).
        world_size: Number of processes (W).
        balanced: Have every class come round equally often.
        crop_limit: Smallest side of a random crop as a share of the image's; None takes whole images.
        augmentation: What the device does at random; None for nothing.
        size: Side of the finished images in pixels, which `augmentation` may depend on.
        on_device: Name the rows only, of images that lie on the device already.
    """

    def __init__(
        self,
        data: ImageRows,
        batch_size: int,
        flip: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        balanced: bool = False,
        crop_limit: float | None = None,
        augmentation: Augmentation | None = None,
        size: int = 0,
        on_device: bool = False,
    ) -> None:
        self.data, self.batch_size, self.flip, self.seed = data, batch_size, flip, seed
        self.rank, self.world_size = rank, world_size
        self.crop_limit, self.augmentation = crop_limit, augmentation
        self.size, self.on_device = size, on_device
        self._balanced = BalancedStream(data.labels[data.rows], seed) if balanced else None

    def __getitem__(self, k: int) -> ImageBatch | DraftBatch:
        """The batch with the global micro-batch number `k`, images as uint8."""
        start = (k * self.world_size + self.rank) * self.batch_size
        positions = np.arange(start, start + self.batch_size)
        which = self._which(start)
        mirrored = flips(self.seed, positions) if self.flip else None
        if self.on_device:
            rows = self.data.rows[which]
            labels = torch.from_numpy(self.data.labels[rows])
            flags = None if mirrored is None else torch.from_numpy(mirrored)
            return DraftBatch(labels, None, torch.from_numpy(rows), flags, *self._to_do(positions))
        pixels, classes = self.data.gather(which)
        if mirrored is not None:
            mirror(pixels, mirrored)
        images, labels = torch.from_numpy(pixels), torch.from_numpy(classes)
        boxes, augmentation = self._to_do(positions)
        if boxes is None and augmentation is None:
            return ImageBatch(images, labels)
        return DraftBatch(labels, images, boxes=boxes, augmentation=augmentation)

    def _which(self, start: int) -> npt.NDArray[np.int64]:
        """Positions in `data.rows` of a batch that starts at a position of the stream."""
        if self._balanced is not None:
            return self._balanced.indices(start, self.batch_size)
        return stream_indices(self.seed, start, self.batch_size, len(self.data.rows))

    def _to_do(self, positions: npt.NDArray[np.int64]) -> tuple[Tensor | None, Tensor | None]:
        """Boxes and augmentation parameters of each position."""
        boxes = augmentation = None
        if self.crop_limit is not None:
            boxes = torch.from_numpy(crop_boxes(self.seed, positions, self.crop_limit))
        if self.augmentation is not None:
            augmentation = torch.from_numpy(self.augmentation.parameters(self.seed, positions, self.size))
        return boxes, augmentation


def mirror(images: npt.NDArray[np.uint8], which: npt.NDArray[np.bool_]) -> None:
    """Mirror some of the images (B, 3, R, R) left to right, in place.

    Eight pixels at a time where the side allows: a row of 64-bit words is reversed, and the bytes in each.
    """
    if images.shape[-1] % 8 == 0:
        words, chosen = images.view(np.uint64), np.flatnonzero(which)
        words[chosen] = words[chosen][..., ::-1].byteswap()
    else:
        images[which] = images[which][..., ::-1]


class ValBatches(Dataset[ImageBatch | DraftBatch]):
    """The held-out images in index order, neither shuffled nor mirrored.

    Rank r of W takes every W-th image. All ranks get the same number, or the shorter ones would leave the
    others waiting: the first few images are seen twice where W does not divide the count.

    Args:
        data: The held-out images, at least one.
        batch_size: Images per batch; the last one may be smaller.
        rank: This process (r).
        world_size: Number of processes (W).
        on_device: Name the rows only, of images that lie on the device already.
    """

    def __init__(
        self, data: ImageRows, batch_size: int, rank: int = 0, world_size: int = 1, on_device: bool = False
    ) -> None:
        self.data, self.batch_size, self.on_device = data, batch_size, on_device
        n = len(data.rows)
        self._mine = np.arange(rank, n + -n % world_size, world_size) % n

    def __len__(self) -> int:
        return -(-len(self._mine) // self.batch_size)

    def __getitem__(self, k: int) -> ImageBatch | DraftBatch:
        """Batch `k` of this rank, images as uint8."""
        which = self._mine[k * self.batch_size : (k + 1) * self.batch_size]
        if self.on_device:
            rows = self.data.rows[which]
            labels = torch.from_numpy(self.data.labels[rows])
            return DraftBatch(labels, rows=torch.from_numpy(rows))
        pixels, classes = self.data.gather(which)
        return ImageBatch(torch.from_numpy(pixels), torch.from_numpy(classes))
