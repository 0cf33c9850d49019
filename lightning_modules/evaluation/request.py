"""What an evaluation is asked for; light to import, so that a command line can be read without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datamodules.utils.places import default_cache_dir


@dataclass(frozen=True)
class DataOptions:
    """What a command line says of the images in place of the run; None leaves the run's own.

    Args:
        root: The folder of images, where it has moved since training.
        cache: Whether decoded images and features are kept on disk.
        cache_dir: Folder for them.
        workers: Processes that decode.
        max_rejected: Largest share of the files that may be unreadable.
    """

    root: Path | None = None
    cache: bool | None = None
    cache_dir: Path | None = None
    workers: int | None = None
    max_rejected: float | None = None

    def given(self) -> dict[str, Any]:
        """Return what is given, as plain values."""
        values = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    def kept_in(self, own: Path | None = None) -> Path | None:
        """Return the folder where decoded images and features are kept; None: nowhere.

        Args:
            own: The run's own.
        """
        return None if self.cache is False else self.cache_dir or own or default_cache_dir()


AS_THE_RUN = DataOptions()
"""Nothing is said in place of the run."""


@dataclass(frozen=True)
class EvaluationRequest:
    """A target, what it is compared with, and how.

    The fields from `samplers` to `checkpoints` say how a run's samples are made, a row for each combination.
    An empty one means the run's own setting.

    Args:
        target: A run, an experiment, a checkpoint, a folder of images, or `samples.npz`.
        against: Folder of real images to compare with; none takes the run's own.
        data: What is said of the run's images in place of the run.
        out: Folder of the report; None: `evaluation/` in the run, or a folder next to the images.
        count: Largest number of images on each side, N.
        features: Name of the feature network, see `load_features`.
        samplers: Names of samplers.
        nfe: Budgets of network evaluations per image.
        sigma_min: Last noise levels.
        guidance: Guidance scales.
        guide_length: Length of the run's own average to guide away from; 0: from the images of all classes.
        checkpoints: Which of the run's.
        weights: Names of weights, see `ema.names`.
        seed: Seed of the samples and of the choice of images.
        seeds: Sets of samples per row, whose spread is the interval.
        batch_size: Images at a time.
        plots: Whether plots are written, which need matplotlib.
    """

    target: Path
    against: Path | None = None
    data: DataOptions = AS_THE_RUN
    out: Path | None = None
    count: int = 1000
    features: str = "auto"
    samplers: Sequence[str] = ()
    nfe: Sequence[int] = ()
    sigma_min: Sequence[float] = ()
    guidance: Sequence[float] = ()
    guide_length: float | None = None
    checkpoints: Literal["newest", "all"] = "newest"
    weights: Sequence[str] = ("ema",)
    seed: int = 0
    seeds: int = 1
    batch_size: int = 64
    plots: bool = True
