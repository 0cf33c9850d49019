"""Batches by number: what a loader asks for is an integer, what it gets depends on that integer alone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from datamodules.cache import MappedImages
from datamodules.order import flips, stream_indices
from datamodules.step_plan import StepPlan


class ImageBatch(NamedTuple):
    """Images and their classes.

    Attributes:
        images: (B, 3, S, S); uint8 from the loader, float32 in [-1, 1] after the transfer to the device.
        labels: (B,) int64.
    """

    images: Tensor
    labels: Tensor


class ImageRows(NamedTuple):
    """Some rows of an array of images.

    Attributes:
        images: All images, (M, 3, S, S) uint8.
        labels: Their classes, (M,) int64.
        rows: The rows that are meant, (N,) int64.
    """

    images: MappedImages
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    def gather(self, which: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Copy the images (B, 3, S, S) and labels (B,) at the positions `which` (B,) of `rows`."""
        rows = self.rows[which]
        return np.asarray(self.images.array[rows]), self.labels[rows]


class TrainBatches(Dataset[ImageBatch]):
    """Batch `k` of training, a pure function of (seed, k, rank).

    The stream of shuffled epochs is dealt out in order: batch k of rank r of W takes the B positions from
    `k * B * W + r * B`. The images of one optimiser step are thus the same however its batch is split over
    ranks and micro-batches.

    Args:
        data: The training images, at least one.
        batch_size: Images per batch and rank (B).
        flip: Mirror half of the images, drawn anew at each position of the stream.
        seed: Non-negative seed.
        rank: This process (r).
        world_size: Number of processes (W).
    """

    def __init__(
        self, data: ImageRows, batch_size: int, flip: bool, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.data, self.batch_size, self.flip, self.seed = data, batch_size, flip, seed
        self.rank, self.world_size = rank, world_size

    def __getitem__(self, k: int) -> ImageBatch:
        """The batch with the global micro-batch number `k`, images as uint8."""
        start = (k * self.world_size + self.rank) * self.batch_size
        images, labels = self.data.gather(
            stream_indices(self.seed, start, self.batch_size, len(self.data.rows))
        )
        if self.flip:
            mirrored = flips(self.seed, np.arange(start, start + self.batch_size))
            images[mirrored] = images[mirrored, :, :, ::-1]
        return ImageBatch(torch.from_numpy(images), torch.from_numpy(labels))


class MicroBatches(Dataset[ImageBatch]):
    """Micro-batch `n` of the Trainer: a batch of training, or a part of one where a batch does not fit.

    Args:
        batches: The stream of batches.
        plan: How the run's steps are laid out over it.
    """

    def __init__(self, batches: TrainBatches, plan: StepPlan) -> None:
        self.batches, self.plan = batches, plan

    def __getitem__(self, n: int) -> ImageBatch:
        """The micro-batch with a number, counted over the whole run, images as uint8."""
        place = self.plan.place(n)
        batch = self.batches[place.batch]
        if self.plan.split == 1:
            return batch
        rows = self.plan.rows(place.part, self.batches.batch_size)
        return ImageBatch(batch.images[rows], batch.labels[rows])


class HeldOutBatches(Dataset[ImageBatch]):
    """The held-out images in index order, neither shuffled nor mirrored.

    Rank r of W takes every W-th image. All ranks get the same number, or the shorter ones would leave the
    others waiting: the first few images are seen twice where W does not divide the count.

    Args:
        data: The held-out images, at least one.
        batch_size: Images per batch; the last one may be smaller.
        rank: This process (r).
        world_size: Number of processes (W).
    """

    def __init__(self, data: ImageRows, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.data, self.batch_size = data, batch_size
        n = len(data.rows)
        self._mine = np.arange(rank, n + -n % world_size, world_size) % n

    def __len__(self) -> int:
        return -(-len(self._mine) // self.batch_size)

    def __getitem__(self, k: int) -> ImageBatch:
        """Batch `k` of this rank, images as uint8."""
        images, labels = self.data.gather(self._mine[k * self.batch_size : (k + 1) * self.batch_size])
        return ImageBatch(torch.from_numpy(images), torch.from_numpy(labels))


class BatchNumbers(DistributedSampler[Any]):
    """The numbers of the batches to come, in order.

    It is a `DistributedSampler` since the batches know their rank themselves: Lightning would replace any
    other sampler under DDP.

    Args:
        bounds: Gives the first number and the number to stop at (None: never), asked anew for each iteration.
    """

    def __init__(self, bounds: Callable[[], tuple[int, int | None]]) -> None:
        self._bounds = bounds
        self.epoch = 0  # set by Lightning, of no meaning here

    def __len__(self) -> int:
        """Number of batches of the whole run, those before the first number included.

        Raises:
            TypeError: The numbers never stop; Lightning takes that for an endless loader.
        """
        stop = self._bounds()[1]
        if stop is None:
            raise TypeError("an endless sequence of batches has no length")
        return stop

    def __iter__(self) -> Iterator[int]:
        start, stop = self._bounds()
        return count(start) if stop is None else iter(range(start, stop))


class StepLoader(DataLoader[ImageBatch]):
    """A loader whose position is the Trainer's step, so that a resumed run goes on in mid-stream.

    The empty state tells Lightning that there is nothing to save, in place of its warning that the loader
    cannot be resumed.
    """

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the checkpoint holds the step already."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take nothing from it."""


def outlive_signals(worker: int) -> None:
    """Let a loader worker ignore the signals that its whole process group or container may get.

    The training process decides when to stop, and needs its workers until then: it tells them to end, and
    they end by themselves when it is gone.

    Args:
        worker: Number of the worker, as `DataLoader` gives it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
