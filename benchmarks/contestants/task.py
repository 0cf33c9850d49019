"""What one contestant is asked to do, and what every contestant can do."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Task:
    """One training and one set of samples.

    Args:
        contestant: A name of `registry.PEERS` or `registry.OURS`, or a path of a config.
        seed: Seed of the training; the samples' is the next one.
        folder: Where everything of it goes.
        data: Folder of the common images, as `data.prepare` leaves it.
        size: Side of the images.
        seconds: Training time from the first step to the last.
        max_steps: Train so many steps instead, at any time; 0 trains by the clock.
        n: Number of samples.
        threads: Threads of torch.
        classes: Number of classes, 1 without labels.
        nfe: Evaluations per sample, of ours at most so many; 0 takes the contestant's own.
        peer_sampler: `fast`, or `published`, the one of its example.
        shrink: Divide the peers' widths by this, to try things out.
    """

    contestant: str
    seed: int
    folder: str
    data: str
    size: int
    seconds: float
    max_steps: int
    n: int
    threads: int
    classes: int = 1
    nfe: int = 0
    peer_sampler: str = "fast"
    shrink: int = 1

    @property
    def place(self) -> Path:
        """The folder of the results."""
        return Path(self.folder)

    def array(self, name: str) -> Images:
        """Open one of the common arrays, mapped into memory."""
        array: Images = np.load(Path(self.data) / f"{name}.npy", mmap_mode="r")
        return array

    def save(self, path: Path) -> None:
        """Write it down for the process that does it."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2))

    @classmethod
    def load(cls, path: Path) -> Task:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))


class Contestant(ABC):
    """Something that trains for a time and then draws images.

    Attributes:
        choices: What was chosen for it, in a sentence or two; goes into the results.
    """

    choices: str

    @abstractmethod
    def train(self) -> dict[str, Any]:
        """Train, leave the weights in the task's folder, and return `steps`, `images`, `seconds`, ..."""

    @abstractmethod
    def load(self) -> dict[str, Any]:
        """Load what was trained and return `nfe`, `sampler` and `weights`."""

    @abstractmethod
    def sample(self, labels: list[int], first: int) -> Images:
        """Draw images, uint8 (B, 3, S, S), of these labels; `first` is the number of the first of them."""
