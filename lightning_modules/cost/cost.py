"""What a run will cost, and what it has cost: kept next to its checkpoints, over all its containers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.utils.io import read_json, write_json
from lightning_modules.checkpoints.errors import write_errors
from lightning_modules.cost.prices import (
    ACHIEVED_SHARE,
    DATE,
    GPUS,
    TFLOPS_PER_CORE,
    usd_per_second,
)
from lightning_modules.cost.settings import ModalSettings
from lightning_modules.run.directory import RunDirectory

START_SECONDS = 60.0
"""What a container takes until its first step, in a forecast."""


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Attributes:
        steps: Optimizer steps of the run; None where its length is a time.
        images_per_step: Images per step.
        flop_per_image: Floating-point operations of an image's forward and backward pass.
        half_precision: Whether matrix products are in bfloat16 or float16.
    """

    steps: int | None
    images_per_step: int
    flop_per_image: float
    half_precision: bool

    def seconds_per_step(self, gpu: str | None, cpu: float) -> float:
        """Return an estimate for a GPU, or for CPU cores."""
        if gpu is None:
            achieved = cpu * TFLOPS_PER_CORE * ACHIEVED_SHARE
        else:
            peak = GPUS[gpu].tflops_half if self.half_precision else GPUS[gpu].tflops_single
            achieved = peak * ACHIEVED_SHARE
        return self.images_per_step * self.flop_per_image / (achieved * 1e12)


def forecast(work: Work, settings: ModalSettings) -> list[str]:
    """Return what the run is expected to take and cost on each GPU it may get, a line each."""
    if work.steps is None:
        return ["Cost: not forecast, the run's length is a time and not a number of steps."]
    lines = [f"Forecast for {work.steps:,} steps (prices of {DATE}, an estimate until steps are measured):"]
    gpus: Sequence[str | None] = settings.gpus or [None]
    for gpu in gpus:
        seconds = START_SECONDS + work.steps * work.seconds_per_step(gpu, settings.cpu)
        rate = usd_per_second(gpu, settings.cpu, settings.memory, bool(settings.region))
        lines.append(f"  {gpu or 'CPU cores':10} {duration(seconds):>10}   ${seconds * rate:.2f}")
    if settings.max_usd is not None:
        lines.append(f"  The run stops at a checkpoint before it has cost ${settings.max_usd:.2f}.")
    return lines


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


class Ledger:
    """The containers that a run has had, with their time and price, in the run's `cost.json`.

    What a container that was killed spent after its last entry is not known, and not in it.

    Args:
        rate: Price of this container in USD per second.
        device: What it computes on.
        started: When it began to cost, in seconds since the epoch.
    """

    def __init__(self, rate: float, device: str, started: float) -> None:
        self.rate, self.device, self.started = rate, device, started
        self._earlier: list[dict[str, str | float]] = []

    def open(self, folder: Path) -> None:
        """Read what the run's earlier containers have cost."""
        path = RunDirectory(folder).cost
        containers = read_json(path)["containers"] if path.is_file() else []
        self._earlier = [each for each in containers if each["started"] != self.started]

    @property
    def usd(self) -> float:
        """Cost of the run so far."""
        return sum(float(each["usd"]) for each in self._containers())

    @property
    def seconds(self) -> float:
        """Time that the run's containers have run so far."""
        return sum(float(each["seconds"]) for each in self._containers())

    def write(self, folder: Path) -> None:
        """Write the entry of this container as it stands now."""
        path = RunDirectory(folder).cost
        with write_errors(path):
            write_json(path, {"prices": DATE, "containers": self._containers()})

    def line(self) -> str:
        """Return the cost in a line."""
        containers = self._containers()
        many = f"{len(containers)} container{'s' if len(containers) > 1 else ''}"
        return f"Cost so far: ${self.usd:.2f} for {duration(self.seconds)} in {many} (prices of {DATE})."

    def _containers(self) -> list[dict[str, str | float]]:
        seconds = time.time() - self.started
        mine: dict[str, str | float] = {"device": self.device, "started": self.started, "seconds": seconds}
        return [*self._earlier, {**mine, "usd": seconds * self.rate}]
