"""Power-function averages of the weights: their lengths, and combining some into another.

An average of exponent gamma gives the weights of the moment tau, seen from t, the density
`p(tau; t) = (gamma + 1) tau^gamma / t^(gamma + 1)` on [0, t] (Karras et al. 2024, "Analyzing and Improving
the Training Dynamics of Diffusion Models", section 3.1). Its standard deviation is a fixed share of t, the
relative length sigma_rel. The recursion with `beta(t) = (1 - 1/t)^(gamma + 1)` gives step s, counted from 1,
the integral of the density over [s - 1, s].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

LONGEST = 1 / math.sqrt(12)
"""Relative length of the plain mean of all steps, gamma = 0."""


def exponent_of(length: float) -> float:
    """Return gamma of a relative length sigma_rel: the root of (gamma+2)^2 (gamma+3) sigma_rel^2 = gamma+1.

    Args:
        length: Standard deviation of the average as a share of the training time, in (0, 0.2886].

    Raises:
        ValueError: If it is not in this range.
    """
    if not 0 < length <= LONGEST:
        raise ValueError(
            f"the relative length of an average is above 0 and at most {LONGEST:.6f}, the length of the mean "
            f"of all steps, not {length:g}"
        )
    inverse = 1 / (length * length)
    # Right of the cubic's largest root Newton's steps fall towards it; the last one that falls is there.
    gamma, below = math.inf, 1 / length
    while below < gamma:
        gamma = below
        value = ((gamma + 7) * gamma + 16 - inverse) * gamma + 12 - inverse
        below = gamma - value / ((3 * gamma + 14) * gamma + 16 - inverse)
    return max(gamma, 0.0)


def length_of(exponent: float) -> float:
    """Return sigma_rel of gamma: sqrt(gamma+1) / ((gamma+2) sqrt(gamma+3))."""
    return math.sqrt((exponent + 1) / (exponent + 3)) / (exponent + 2)


def newest_share(exponent: float, step: int) -> float:
    """Return the share `1 - beta(t)` of an average that the weights after step t are, counted from 1."""
    return 1 - math.pow(1 - 1 / step, exponent + 1)


@dataclass(frozen=True)
class Profile:
    """How much an average, seen from a step, is made of each step before.

    Args:
        length: Relative length sigma_rel.
        step: Steps taken, t.
    """

    length: float
    step: int

    @cached_property
    def exponent(self) -> float:
        """Gamma."""
        return exponent_of(self.length)

    def inner(self, other: Profile) -> float:
        """Return the integral of the product of two densities, each 0 behind its own step."""
        one, two = self.exponent + 1, other.exponent + 1
        common = min(self.step, other.step)
        overlap = math.pow(common / self.step, one) * math.pow(common / other.step, two)
        return one * two / (one + two - 1) * overlap / common


@dataclass(frozen=True)
class Fit:
    """Averages combined into another.

    Attributes:
        factors: What each is multiplied with; their sum is 1.
        error: Norm of the difference between the densities over the norm of the wanted one.
    """

    factors: tuple[float, ...]
    error: float


def fit(kept: Sequence[Profile], wanted: Profile) -> Fit:
    """Combine averages so that their density is nearest to the wanted one's in the mean square.

    The factors sum to 1, so that weights which stood still are reconstructed exactly.

    Args:
        kept: What is there, at least one.
        wanted: What is asked for.
    """
    import numpy as np  # here, for command lines whose --help is to appear at once

    if wanted in kept:
        return Fit(tuple(float(index == kept.index(wanted)) for index in range(len(kept))), 0.0)
    scale = wanted.inner(wanted)
    gram = np.array([[one.inner(other) for other in kept] for one in kept]) / scale
    right = np.array([one.inner(wanted) for one in kept]) / scale
    ones = np.ones((len(kept), 1))
    # Lagrange's conditions of the least squares under sum = 1.
    system = np.block([[gram, ones], [ones.T, np.zeros((1, 1))]])
    factors = np.linalg.lstsq(system, np.append(right, 1.0), rcond=1e-13)[0][:-1]
    squared = 1 - 2 * factors @ right + factors @ gram @ factors
    return Fit(tuple(factors.tolist()), math.sqrt(max(float(squared), 0.0)))
