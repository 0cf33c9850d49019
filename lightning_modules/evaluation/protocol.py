"""Every figure with its floor and its ceiling, at equal N, with an interval, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork
from lightning_modules.metrics.features import Images, cached_features, extract
from lightning_modules.metrics.figure import Comparison, Figure, Figures
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.metrics.table import METRICS


def compare(real: Tensor, fake: Tensor, network: FeatureNetwork | None = None) -> Figures:
    """Compare features of as many samples as real images.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).
        network: Where the features come from; a classifier's Inception score is then given too.

    Raises:
        EvaluationError: If the sets differ in size or a feature is not finite.
    """
    comparison = Comparison(real, fake, network)
    return {name: metric.compute(comparison) for name, metric in METRICS.items()}


def over_seeds(figures: Sequence[Figures]) -> Figures:
    """Combine the figures of several sets of samples: mean, smallest and largest, when there are several."""
    if len(figures) == 1:
        return figures[0]
    combined = {}
    for name, first in figures[0].items():
        values = [each[name].value for each in figures]
        if any(value is None for value in values):
            combined[name] = first
        else:
            numbers = [float(value) for value in values if value is not None]
            note = f"mean, smallest and largest of {len(figures)} seeds"
            combined[name] = Figure(float(np.mean(numbers)), min(numbers), max(numbers), note)
    return combined


class Protocol:
    """Compare sets of N images with one reference, with a floor and a ceiling of the same N.

    The floor is a second set of real images, disjoint from the reference; the ceiling is uniform noise.

    Args:
        network: The feature network.
        reference: Real images, uint8, (N, 3, S, S).
        other: Real images that are not in the reference, uint8, (N, 3, S, S).
        cache_dir: Where features of real images are kept; None: nowhere.
        batch_size: Images at a time.
        quiet: Show no progress bars.

    Raises:
        EvaluationError: If the two sets differ in size.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        reference: Images,
        other: Images,
        cache_dir: Path | None = None,
        batch_size: int = 64,
        quiet: bool = False,
    ) -> None:
        if reference.shape != other.shape:
            raise EvaluationError(f"the floor needs as many images: {other.shape} against {reference.shape}")
        self.network, self.batch_size, self.quiet, self.cache_dir = network, batch_size, quiet, cache_dir
        self.image_shape = reference.shape[1:]
        self.reference = self.real_features(reference, "features of the reference")
        self.other = self.real_features(other, "features of the floor")

    def __len__(self) -> int:
        return len(self.reference)

    def real_features(self, images: Images, what: str = "features") -> Tensor:
        """Take the features of real images, (M, F), through the cache if there is one."""
        if self.cache_dir is None:
            return extract(self.network, images, self.batch_size, what, self.quiet)
        return cached_features(self.network, images, self.cache_dir, self.batch_size, what, self.quiet)

    def features(self, images: Images, what: str = "features") -> Tensor:
        """Take the features of samples, (M, F)."""
        return extract(self.network, images, self.batch_size, what, self.quiet)

    def figures(self, features: Tensor) -> Figures:
        """Compare the features of N images with the reference."""
        return compare(self.reference, features, self.network)

    @cached_property
    def floor(self) -> Figures:
        """Figures of real images: the best that samples can be expected to reach at this N."""
        return self.figures(self.other)

    @cached_property
    def ceiling(self) -> Figures:
        """Figures of uniform noise: what no effort reaches."""
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (len(self), *self.image_shape), dtype=np.uint8)
        return self.figures(self.real_features(noise, "features of noise"))
