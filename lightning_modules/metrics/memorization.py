"""Whether samples are new, or copies of the training images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.metrics.pairs import EvaluationError, interval

COPY_RATIO = 1 / 3
"""A sample is a copy where its nearest training image is nearer than this share of the second nearest's
distance: Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to memorize"."""

RING_Z = -3.0
"""Meehan's statistic below which chance is no explanation: 1 in 740."""

RING_RATIO = 0.95
"""Ratio of median distances below which a difference is one of size and not only of sample count."""

_ROWS = 512


@dataclass(frozen=True)
class Nearest:
    """The two nearest training images of each query.

    Args:
        distances: To the nearest and the second nearest, (N, 2).
        indices: Rows of the nearest and the second nearest, (N, 2).
    """

    distances: Tensor
    indices: Tensor

    @property
    def ratios(self) -> Tensor:
        """Distance to the nearest over that to the second nearest, (N,); an exact copy has 0."""
        first, second = self.distances.unbind(1)
        return torch.where(first > 0, first / second, torch.zeros_like(first))


@dataclass(frozen=True)
class Memorization:
    """How near samples are to the training images, compared with held-out images, which cannot be copies.

    Args:
        distance_ratio: Median distance to the nearest training image, samples' over held-out images'.
        distance_ratio_interval: Its 95 % bootstrap interval.
        z: Mann-Whitney statistic of the distances, samples against held-out: far below 0 is copying.
        copies: Share of samples that the ratio test calls copies.
        copies_val: The same of held-out images: near-duplicates in the data, the floor of `copies`.
    """

    distance_ratio: float
    distance_ratio_interval: tuple[float, float]
    z: float
    copies: float
    copies_val: float

    @property
    def rings(self) -> bool:
        """Whether samples are nearer to the training images than held-out ones, by more than chance."""
        nearer = self.z < RING_Z and self.distance_ratio < RING_RATIO
        return nearer or self.copies > self.copies_val + 0.02

    def describe(self) -> str:
        """Say in words what was found."""
        verdict = "MEMORIZING" if self.rings else "no sign of memorizing"
        low, high = self.distance_ratio_interval
        return (
            f"{verdict}: median distance to the nearest training image {self.distance_ratio:.3f} "
            f"({low:.3f} to {high:.3f}) of the held-out images', Mann-Whitney z {self.z:+.1f}; "
            f"copies {self.copies:.1%}, of held-out images {self.copies_val:.1%}"
        )


def nearest_images(queries: Tensor, train: Tensor, mirrored: Tensor | None = None) -> Nearest:
    """Find the two nearest training images of each query, by Euclidean distance.

    Args:
        queries: Features (or pixels) of the queries, (N, F).
        train: Features of the training images, (M, F), at least two.
        mirrored: Features of the mirrored queries, (N, F): training mirrors its images, so a sample may be
            the copy of a mirror image. The nearer of the two counts.

    Raises:
        EvaluationError: If there are fewer than two training images.
    """
    if len(train) < 2:
        raise EvaluationError("the ratio test needs at least two training images")
    train = train.double()
    distances, indices = [], []
    for start in range(0, len(queries), _ROWS):
        rows = slice(start, start + _ROWS)
        block = torch.cdist(queries[rows].double(), train)
        if mirrored is not None:
            block = torch.minimum(block, torch.cdist(mirrored[rows].double(), train))
        nearest = block.topk(2, dim=1, largest=False)
        distances.append(nearest.values)
        indices.append(nearest.indices)
    return Nearest(torch.cat(distances), torch.cat(indices))


def memorization(samples: Nearest, val: Nearest, replicates: int = 500, seed: int = 0) -> Memorization:
    """Compare the samples' distances to the training images with held-out images'.

    The rank statistic is Meehan, Chaudhuri & Dasgupta 2020 (arXiv 2004.05675), section 3, over one cell. The
    gauge rings where it is below -3 and the median has fallen too, or where the ratio test finds copies
    that it does not find among held-out images.

    Args:
        samples: Nearest training images of samples.
        val: Nearest training images of held-out images.
        replicates: Number of bootstrap resamples.
        seed: Seed of the resampling.
    """
    near, far = samples.distances[:, 0], val.distances[:, 0]
    generator = torch.Generator().manual_seed(seed)
    medians = [
        values[torch.randint(len(values), (replicates, len(values)), generator=generator)].median(1).values
        for values in (near, far)
    ]
    floor = torch.finfo(torch.float64).tiny
    return Memorization(
        distance_ratio=float(near.median() / far.median().clamp(min=floor)),
        distance_ratio_interval=interval(medians[0] / medians[1].clamp(min=floor)),
        z=mann_whitney_z(near, far),
        copies=float((samples.ratios < COPY_RATIO).double().mean()),
        copies_val=float((val.ratios < COPY_RATIO).double().mean()),
    )


def mann_whitney_z(x: Tensor, y: Tensor) -> float:
    """Return the normal approximation of the Mann-Whitney statistic; below 0 where `x` tends to be smaller.

    Args:
        x: Values, (N,).
        y: Values, (M,).
    """
    x, ascending = x.contiguous(), y.contiguous().sort().values
    below = torch.searchsorted(ascending, x, right=False)  # values of y below each x
    up_to = torch.searchsorted(ascending, x, right=True)
    u = float((below + up_to).double().sum()) / 2  # ties count half
    n, m = len(x), len(y)
    return (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def closest_pairs(nearest: Nearest, count: int) -> Tensor:
    """Return the queries most like copies, (count, 2): row of the query and of its nearest training image."""
    order = nearest.distances[:, 0].argsort()[:count]
    return torch.stack([order, nearest.indices[order, 0]], dim=1)
