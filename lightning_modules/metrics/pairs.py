"""What every metric between two sets of features asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class EvaluationError(ValueError):
    """A figure cannot be given honestly; the message says why and what to do."""


def check_pair(real: Tensor, fake: Tensor) -> None:
    """Refuse two sets that no metric may compare.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).

    Raises:
        EvaluationError: If they differ in N or F, hold fewer than two, or a number that is not finite.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape != fake.shape:
        raise EvaluationError(
            f"both sides of a comparison have the same number of images and features, not "
            f"{tuple(real.shape)} and {tuple(fake.shape)}: the bias of these figures depends on N"
        )
    if len(real) < 2:
        raise EvaluationError(f"two sets of {len(real)} images cannot be compared")
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise EvaluationError("a feature is not finite")


@contextmanager
def own_generator(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator in a block, and leave it as it was afterwards.

    torchmetrics draws its subsets from it, which must neither differ from call to call nor move training's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def interval(replicates: Tensor, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap replicates (R,)."""
    tail = (1 - confidence) / 2
    low, high = torch.quantile(replicates.double(), torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return float(low), float(high)
