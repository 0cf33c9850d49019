"""How to evaluate, and what every evaluation does first."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from datamodules.cache.cache import default_cache_dir
from lightning_modules.evaluation.image_sets import ImageSet, RealSplit
from lightning_modules.evaluation.protocol import Protocol
from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork
from lightning_modules.sampling.settings import Sampling


@dataclass(frozen=True)
class Setup:
    """How to evaluate.

    Args:
        network: The feature network.
        out: Folder for pictures.
        count: Largest number of images on each side, N.
        seed: Seed of the choice of images and of the first set of samples.
        seeds: Sets of samples for every row.
        batch_size: Images at a time.
        cache_dir: Where decoded images and features of real images are kept; None: nowhere.
    """

    network: FeatureNetwork
    out: Path
    count: int = 1000
    seed: int = 0
    seeds: int = 1
    batch_size: int = 64
    cache_dir: Path | None = dataclasses.field(default_factory=default_cache_dir)


@dataclass(frozen=True)
class Variant:
    """What a set of samples comes from.

    Args:
        checkpoint: The checkpoint.
        weights: `ema`, the main average, `ema=0.1`, that of this length, or `raw`, what the optimizer left.
        sampling: Sampler, steps, guidance.
    """

    checkpoint: Path
    weights: str
    sampling: Sampling


def protocol_of(real: ImageSet, split: RealSplit, setup: Setup) -> Protocol:
    """Return the comparison with a reference, whose floor are the real images' other half."""
    reference, other = (np.ascontiguousarray(real.images[rows]) for rows in (split.reference, split.other))
    return Protocol(setup.network, reference, other, setup.cache_dir, setup.batch_size)


def describe(real: ImageSet, split: RealSplit, setup: Setup, count: int) -> dict[str, str | int | float]:
    """Say what is compared with what, and how."""
    return {
        "N on each side": count,
        "features": f"{setup.network.name}, {setup.network.num_features} features",
        "images": f"{real.images.shape[-1]} px, rounded to bytes, resized once, by the feature network",
        "reference": f"{real.name}, {split.note}; fingerprint {real.fingerprint}",
        "floor": "as many other real images of the same classes, none of them in the reference",
        "ceiling": "uniform noise",
    }


def device() -> str:
    """Return the device that samples."""
    return "cuda" if torch.cuda.is_available() else "cpu"
