"""The real images that a run in training is measured against, prepared once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from datamodules.cache.cache import default_cache_dir
from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.evaluation.copies import ClosestPairs, CopyDetector
from lightning_modules.evaluation.denoising import BandError, errors_by_noise_level
from lightning_modules.evaluation.image_sets import equal_sides, split_real, training_images
from lightning_modules.evaluation.protocol import Protocol, compare
from lightning_modules.evaluation.verdicts import memorizing
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.metrics.features import Images
from lightning_modules.metrics.memorization import Memorization
from lightning_modules.module import DiffusionModule

_MAX_TRAIN = 2000
_BAND_IMAGES = 64


@dataclass(frozen=True, eq=False)
class Found:
    """What a set of samples in training measured.

    Args:
        scalars: Figures by name, those of the floor as `kid_floor`.
        memorization: The gauge, if images are held out.
        pairs: The samples nearest to training images, if images are held out.
    """

    scalars: dict[str, float]
    memorization: Memorization | None
    pairs: ClosestPairs | None

    def sentence(self, step: int) -> str | None:
        """Say that the samples are copies, if they are."""
        return memorizing(step, self.memorization) if self.memorization else None


class TrainingReference:
    """Real images, their features and distances, for evaluations of one size.

    Args:
        data: The run's data module, set up. Of more than 2,000 training images the gauge of memorization
            looks at 2,000, and sees as many of the copies as their share.
        features: Feature network, as `load_features` takes it.
        images: Images on each side.
        seed: Seed of the choice.
        device: Where the feature network runs.
    """

    def __init__(
        self, data: ImageFolderDataModule, features: str, images: int, seed: int, device: torch.device
    ) -> None:
        network = load_features(features).to(device)
        cache_dir = data.cache_dir or default_cache_dir()
        real = training_images(data, "training")
        split = split_real(real, images, seed=seed)
        self.labels = [int(label) for label in real.labels[split.reference]]
        self.protocol = Protocol(
            network, real.images[split.reference], real.images[split.other], cache_dir, quiet=True
        )
        rng = np.random.default_rng(seed)
        train_rows = np.sort(rng.permutation(np.flatnonzero(~real.val))[:_MAX_TRAIN])
        val_rows = np.sort(rng.permutation(np.flatnonzero(real.val))[:images])
        self._sides = equal_sides(real, _BAND_IMAGES, seed)
        self._detector = None
        if len(val_rows):
            train, val = real.images[train_rows], real.images[val_rows]
            self._detector = CopyDetector(self.protocol, train, val, data.flip)

    def compare(self, images: Images) -> Found:
        """Compare as many samples with the reference and with the training images."""
        features = self.protocol.features(images)
        figures = compare(self.protocol.reference, features)
        scalars = {name: figure.value for name, figure in figures.items() if figure.value is not None}
        kid, floor = figures["kid"], self.protocol.floor["kid"].value
        assert kid.low is not None
        assert kid.high is not None
        assert floor is not None
        scalars |= {"kid_low": kid.low, "kid_high": kid.high, "kid_floor": floor}
        if self._detector is None:
            return Found(scalars, None, None)
        gauge, pairs = self._detector.look(images, features)
        scalars |= {
            "nearest_distance_over_val": gauge.distance_ratio,
            "copies": gauge.copies,
            "copies_val": gauge.copies_val,
        }
        return Found(scalars, gauge, pairs)

    def errors(self, module: DiffusionModule) -> list[BandError] | None:
        """Measure the error by noise level with the module's present weights; None if nothing is held out."""
        return errors_by_noise_level(module, self._sides, quiet=True) if self._sides else None
