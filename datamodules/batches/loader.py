"""What iterates over batches: their numbers, in this process or in workers, and some batches ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from datamodules.batches.batches import ValBatches
from datamodules.batches.finishing import DraftBatch, ImageBatch
from datamodules.batches.micro_batches import MicroBatches
from datamodules.utils.workers import Workers

_AHEAD = 2  # batches


class BatchNumbers(DistributedSampler[Any]):
    """The numbers of the batches to come, in order.

    It is a `DistributedSampler` since the batches know their rank themselves: Lightning would replace any
    other sampler under DDP.

    Args:
        bounds: Gives the first number and the number to stop at (None: never), at each iteration.
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


class StepLoader(DataLoader[Any]):
    """A loader whose position is the Trainer's step, so that a resumed run goes on in mid-stream.

    The empty state tells Lightning that there is nothing to save, in place of its warning that the loader
    cannot be resumed. To torch it has no workers: it has its own, which need no shared memory and end nothing
    by their own end.

    Args:
        batches: Batches by number.
        numbers: The numbers to come.
        workers: Processes that load.
        pinned: Put batches where a GPU fetches them from, and have a thread take two of them before they are
            asked for. Without a GPU, training needs the processor for itself.
        hurry: Whether there is little time to wait for a worker.

    Attributes:
        ahead: Batches that a thread takes before they are asked for.
    """

    def __init__(
        self,
        batches: MicroBatches | ValBatches,
        numbers: BatchNumbers,
        workers: int = 0,
        pinned: bool = False,
        hurry: Callable[[], bool] | None = None,
    ) -> None:
        # Its own generator: without it each start would use the global one.
        super().__init__(batches, batch_size=None, sampler=numbers, generator=torch.Generator())
        self._pinned = pinned
        self._loading = Workers(batches.__getitem__, workers, "--data.workers", prepare=_one_thread)
        if hurry is not None:
            self._loading.hurry = hurry
        self.ahead = _AHEAD if pinned else 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches: Iterator[Any] = self._loading.results(self.sampler)
        if self._pinned:
            batches = map(_pin, batches)
        return fetched_ahead(batches, self.ahead) if self.ahead else batches

    @property
    def processes(self) -> tuple[BaseProcess, ...]:
        """The workers that there are now."""
        return self._loading.processes

    def close(self) -> None:
        """End the workers; another iteration starts others."""
        self._loading.close()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the checkpoint holds the step already."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take nothing from it."""


def _pin(batch: ImageBatch | DraftBatch) -> ImageBatch | DraftBatch:
    fields = {name: field.pin_memory() for name, field in batch._asdict().items() if field is not None}
    return batch._replace(**fields)


def _one_thread() -> None:
    """As many processes as there are workers are enough."""
    torch.set_num_threads(1)


def fetched_ahead(batches: Iterator[Any], ahead: int) -> Iterator[Any]:
    """The same batches, of which a thread fetches so many before they are asked for."""
    end = object()
    with ThreadPoolExecutor(1, "next-batch") as thread:
        pending: deque[Future[Any]] = deque(thread.submit(next, batches, end) for _ in range(ahead))
        try:
            while (batch := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, batches, end))
                yield batch
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
