"""Curves of a run, step by step, made fit to be drawn."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

Series = Sequence[tuple[int, float]]
Point = TypeVar("Point")

_NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf)"
_BAND = re.compile(rf"error_sigma_{_NUMBER}_to_{_NUMBER}/(train|val|identity|constant)", re.ASCII)
_LARGEST, _LEAST = 1e100, 1e-100  # what a run logs is a 32-bit number; an axis overflows at 64 bits' ends


def noise_bands(scalars: Mapping[str, Series]) -> dict[tuple[str, str], dict[str, Series]]:
    """Return the curves of each band of noise levels, the lowest first."""
    bands: dict[tuple[str, str], dict[str, Series]] = {}
    for name, series in scalars.items():
        if found := _BAND.fullmatch(name):
            bands.setdefault((found[1], found[2]), {})[found[3]] = series
    return dict(sorted(bands.items(), key=lambda item: float(item[0][0])))


def averaged(series: Series, most: int = 100) -> Series:
    """Average neighbors to at most so many points, so that the course is seen and not the scatter."""
    count = min(most, len(series))
    bounds = [len(series) * number // max(count, 1) for number in range(count + 1)]
    blocks = [series[first:last] for first, last in itertools.pairwise(bounds)]
    return [(block[-1][0], sum(value for _, value in block) / len(block)) for block in blocks]


def evenly(series: Sequence[Point], most: int = 2000) -> Sequence[Point]:
    """Leave out points of a long curve that would fall onto others."""
    return series[:: len(series) // most + 1]


def finite(series: Series) -> list[tuple[int, float]]:
    """Return the points whose value is a finite number."""
    return [(step, value if abs(value) > _LEAST else 0.0) for step, value in series if abs(value) < _LARGEST]
