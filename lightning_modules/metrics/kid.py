from __future__ import annotations

import warnings

import lightning.pytorch  # noqa: F401  (before torchmetrics)
import torch
from torch import Tensor
from torchmetrics.image.kid import KernelInceptionDistance, poly_kernel

from lightning_modules.metrics.features import PrecomputedFeatures
from lightning_modules.metrics.figure import Comparison, Figure
from lightning_modules.metrics.pairs import check_pair, interval, own_generator

MAX_SUBSET = 4000
"""Images in one kernel matrix, which takes 128 MB at this size."""


def kid(comparison: Comparison) -> Figure:
    """Return `kernel_distance` with its bootstrap interval."""
    low, high = kernel_distance_interval(comparison.real, comparison.fake)
    return Figure(kernel_distance(comparison.real, comparison.fake), low, high, "bootstrap over images")


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Return the kernel (Inception) distance of two sets of features: Binkowski et al. 2018, section 4.

    The unbiased squared maximum mean discrepancy with the kernel `(x y / F + 1)^3`, in float64, by
    torchmetrics, over all images at once (over subsets of `MAX_SUBSET` where there are more) instead of over
    small subsets: the same expectation with the least variance. Two sets of the same distribution have the
    expectation 0, so that an estimate may be negative.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).

    Raises:
        EvaluationError: If the sets differ in size or a feature is not finite.
    """
    check_pair(real, fake)
    count = len(real)
    subset = min(count, MAX_SUBSET)
    subsets = 1 if subset == count else 2 * -(-count // subset)
    with warnings.catch_warnings(), own_generator(0):
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save all")
        metric = KernelInceptionDistance(
            PrecomputedFeatures(real.shape[1]), subsets=subsets, subset_size=subset
        )
        metric.update(real.double(), real=True)
        metric.update(fake.double(), real=False)
        mean, _ = metric.compute()
    return float(mean)


def kernel_distance_interval(
    real: Tensor, fake: Tensor, replicates: int = 500, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """Return a bootstrap interval of `kernel_distance`.

    Both sets are resampled with replacement. A resample holds some images more than once; pairs of an image
    with itself are left out, as the unbiased estimator leaves them out, since each would count as a perfect
    likeness. Of more than `MAX_SUBSET` images the first so many are used, which makes the interval wider.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).
        replicates: Number of resamples.
        seed: Seed of the resampling.
        confidence: Share of the replicates inside the interval.
    """
    check_pair(real, fake)
    x, y = real[:MAX_SUBSET].double(), fake[:MAX_SUBSET].double()
    generator = torch.Generator().manual_seed(seed)
    weights_x, weights_y = (_resamples(len(x), replicates, generator) for _ in range(2))
    within = sum(_mean_of_pairs(poly_kernel(z, z), w) for z, w in ((x, weights_x), (y, weights_y)))
    across = ((weights_x @ poly_kernel(x, y)) * weights_y).sum(1) / len(x) ** 2
    return interval(within - 2 * across, confidence)


def _resamples(count: int, replicates: int, generator: torch.Generator) -> Tensor:
    """Return how often each image is in each resample, (replicates, count), float64."""
    drawn = torch.randint(count, (replicates, count), generator=generator)
    weights = torch.zeros(replicates, count, dtype=torch.float64)
    return weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))


def _mean_of_pairs(kernel: Tensor, weights: Tensor) -> Tensor:
    """Average a kernel matrix (N, N) over the pairs of different images of each resample (R, N) -> (R,)."""
    squares = weights.square()
    total = ((weights @ kernel) * weights).sum(1) - squares @ kernel.diagonal()
    pairs: Tensor = total / (weights.sum(1).square() - squares.sum(1))
    return pairs
