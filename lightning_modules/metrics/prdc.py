"""Precision, recall, density and coverage: whether samples look real, and whether they cover what is real."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.metrics.figure import Comparison, Figure, Figures
from lightning_modules.metrics.pairs import check_pair, interval

_ROWS = 1024  # rows of a distance matrix held at a time


@dataclass(frozen=True)
class Manifolds:
    """What every image adds to the four figures; each figure is the mean of its tensor.

    Args:
        precision: Whether a fake image lies in the real manifold, (N,), 0 or 1.
        recall: Whether a real image lies in the fake manifold, (N,), 0 or 1.
        density: In how many real balls a fake image lies, over k, (N,).
        coverage: Whether a real image's ball holds a fake one, (N,), 0 or 1.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor

    def figures(self) -> dict[str, float]:
        """Return the four figures by name."""
        return {name: float(values.mean()) for name, values in vars(self).items()}

    def intervals(self, replicates: int = 500, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Return 95 % bootstrap intervals over the images each figure averages, the balls held fixed."""
        generator = torch.Generator().manual_seed(seed)
        count = len(self.precision)
        drawn = torch.randint(count, (replicates, count), generator=generator)
        return {name: interval(values[drawn].mean(1)) for name, values in vars(self).items()}


def precision(comparison: Comparison) -> Figure:
    """Return the share of samples in the real manifold; see `manifolds`."""
    return comparison.once(_figures)["precision"]


def recall(comparison: Comparison) -> Figure:
    """Return the share of real images in the samples' manifold; see `manifolds`."""
    return comparison.once(_figures)["recall"]


def density(comparison: Comparison) -> Figure:
    """Return the mean number of real balls that hold a sample, over k; see `manifolds`."""
    return comparison.once(_figures)["density"]


def coverage(comparison: Comparison) -> Figure:
    """Return the share of real images whose ball holds a sample; see `manifolds`."""
    return comparison.once(_figures)["coverage"]


def _figures(real: Tensor, fake: Tensor) -> Figures:
    shapes = manifolds(real, fake)
    intervals = shapes.intervals()
    return {
        name: Figure(value, *intervals[name], note="bootstrap over images")
        for name, value in shapes.figures().items()
    }


def manifolds(real: Tensor, fake: Tensor, k_precision: int = 3, k_coverage: int = 5) -> Manifolds:
    """Compare the manifolds of two sets: unions of balls that reach to the k-th nearest of the own set.

    Precision and recall are Kynkäänniemi et al. 2019 (arXiv 1904.06991), equations 1 and 2; density and
    coverage Naeem et al. 2020 (arXiv 2002.09797), equations 3 and 4. Balls are closed. A ball's radius comes
    from its own set and is then asked of the other one, so nothing is a half by construction.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).
        k_precision: Neighbors of precision and recall.
        k_coverage: Neighbors of density and coverage.

    Raises:
        EvaluationError: If the sets differ in size or a feature is not finite.
        ValueError: If there are no more than k images.
    """
    check_pair(real, fake)
    if len(real) <= max(k_precision, k_coverage):
        raise ValueError(f"{max(k_precision, k_coverage)} neighbors need more than {len(real)} images")
    real, fake = real.double(), fake.double()
    real_radii = _radii(real, (k_precision, k_coverage))
    fake_radii = _radii(fake, (k_precision,))
    precision, recall, density, coverage = (torch.zeros(len(real), dtype=torch.float64) for _ in range(4))
    for start in range(0, len(fake), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = torch.cdist(fake[rows], real)  # (rows, N): fake to real
        precision[rows] = (distances <= real_radii[0]).any(1).double()
        inside = distances <= real_radii[1]
        density[rows] = inside.double().sum(1) / k_coverage
        coverage = torch.maximum(coverage, inside.any(0).double())
        recall = torch.maximum(recall, (distances <= fake_radii[0][rows, None]).any(0).double())
    return Manifolds(precision, recall, density, coverage)


def _radii(features: Tensor, neighbors: tuple[int, ...]) -> list[Tensor]:
    """Return the distances (N,) from each image to its k-th nearest other, for every k."""
    nearest = []
    for start in range(0, len(features), _ROWS):
        distances = torch.cdist(features[start : start + _ROWS], features)
        rows = torch.arange(len(distances))
        distances[rows, rows + start] = torch.inf  # not itself, wherever rounding would sort it
        nearest.append(distances.topk(max(neighbors), dim=1, largest=False).values)
    ascending = torch.cat(nearest)
    return [ascending[:, k - 1] for k in neighbors]
