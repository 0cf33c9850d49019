"""What the figures of a run in training say, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lightning_modules.metrics.memorization import Memorization

EMA_LAGS = 1.02
"""Ratio of the averaged weights' held-out error to the raw weights' from which the average lags."""


class KidAtStep(NamedTuple):
    """A KID that was measured in training."""

    step: int
    kid: float


def plateau(history: Sequence[KidAtStep], patience: int) -> str | None:
    """Say that the last `patience` evaluations brought no better KID than the best before them, if so."""
    before, recent = history[:-patience], history[-patience:]
    if not before:
        return None
    best = min(before, key=lambda measured: measured.kid)
    if min(measured.kid for measured in recent) < best.kid:
        return None
    return (
        f"plateau: none of the last {patience} evaluations has bettered the KID of step {best.step} "
        f"({best.kid:.4g})"
    )


def at_floor(step: int, learning_rate: float) -> str:
    """Say that the learning rate has come to the end of its cooldown."""
    return f"at learning-rate floor: the rate is {learning_rate:g} at step {step}, and little will change"


def ema_lags(ratio: float) -> str | None:
    """Say that the average is worse than the raw weights, if it is.

    Args:
        ratio: Held-out error of the averaged weights over the raw ones', geometric mean over noise levels.
    """
    if ratio < EMA_LAGS:
        return None
    return (
        f"EMA lags: the averaged weights' held-out error is {ratio - 1:.1%} above the raw ones'; its "
        f"memory is long for this stage of the run (ema.decay, ema.length)"
    )


def memorizing(step: int, found: Memorization) -> str | None:
    """Say that samples are copies, if they are."""
    if not found.rings:
        return None
    return (
        f"memorizing: nearest-neighbor distance fell below held-out's at step {step} (ratio of the "
        f"medians {found.distance_ratio:.2f}, copies {found.copies:.0%}, of held-out images "
        f"{found.copies_val:.0%})"
    )
