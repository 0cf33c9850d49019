from __future__ import annotations

import lightning.pytorch  # noqa: F401  (before torchmetrics)
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from lightning_modules.metrics.features import PrecomputedFeatures
from lightning_modules.metrics.figure import Comparison, Figure
from lightning_modules.metrics.pairs import EvaluationError, check_pair


def frechet(comparison: Comparison) -> Figure:
    """Return `frechet_distance`, or why it is refused."""
    refusal = frechet_refusal(*comparison.real.shape)
    if refusal:
        return Figure(None, note=refusal)
    return Figure(frechet_distance(comparison.real, comparison.fake))


def frechet_refusal(count: int, num_features: int) -> str | None:
    """Say why the Fréchet distance of sets of `count` images is refused; None if it is not."""
    if count > num_features:
        return None
    return f"N = {count} < {num_features + 1} = features + 1: covariances without full rank; KID stands in"


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of Gaussians fitted to two sets of features: Heusel et al. 2017, eq. 6.

    `|mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`, in float64, by torchmetrics.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).

    Raises:
        EvaluationError: If the sets differ in size, `N < F + 1` (the covariances are then of deficient rank,
            and the figure is mostly bias), or the matrix square root is not finite.
    """
    check_pair(real, fake)
    refusal = frechet_refusal(*real.shape)
    if refusal:
        raise EvaluationError(f"the Fréchet distance is refused: {refusal}")
    metric = FrechetInceptionDistance(PrecomputedFeatures(real.shape[1]))
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    distance = metric.compute()
    if not distance.isfinite():
        raise EvaluationError(f"the square root of the covariances' product is not finite ({distance})")
    return float(distance)
