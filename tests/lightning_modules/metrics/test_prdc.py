"""Precision, recall, density and coverage against their definitions, one pair at a time."""

from __future__ import annotations

import pytest
import torch

from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.metrics.prdc import manifolds


def draw(n, shift=0.0, seed=0, features=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=generator, dtype=torch.float64) + shift


def radius(points, i, k):
    return sorted(float((points[i] - q).norm()) for j, q in enumerate(points) if j != i)[k - 1]


def brute_force(real, fake, k_precision, k_coverage):
    n = len(real)
    near = [radius(real, i, k_precision) for i in range(n)]
    wide = [radius(real, i, k_coverage) for i in range(n)]
    own = [radius(fake, j, k_precision) for j in range(n)]
    apart = [[float((r - f).norm()) for f in fake] for r in real]
    return {
        "precision": sum(any(apart[i][j] <= near[i] for i in range(n)) for j in range(n)) / n,
        "recall": sum(any(apart[i][j] <= own[j] for j in range(n)) for i in range(n)) / n,
        "density": sum(apart[i][j] <= wide[i] for i in range(n) for j in range(n)) / (k_coverage * n),
        "coverage": sum(any(apart[i][j] <= wide[i] for j in range(n)) for i in range(n)) / n,
    }


@pytest.mark.parametrize("shift", [0.0, 1.5])
@pytest.mark.parametrize(("k_precision", "k_coverage"), [(3, 5), (1, 2)])
@pytest.mark.parametrize("rows", [7, 1024])
def test_figures_are_the_definitions(shift, k_precision, k_coverage, rows, monkeypatch):
    monkeypatch.setattr("lightning_modules.metrics.prdc._ROWS", rows)
    real, fake = draw(40), draw(40, shift, seed=1)
    expected = brute_force(real, fake, k_precision, k_coverage)
    assert manifolds(real, fake, k_precision, k_coverage).figures() == pytest.approx(expected, abs=1e-12)


def test_a_set_against_itself_is_perfect():
    real = draw(50)
    figures = manifolds(real, real.clone()).figures()
    assert figures["precision"] == figures["recall"] == figures["coverage"] == 1


def test_sets_far_apart_have_nothing_in_common():
    assert set(manifolds(draw(50), draw(50, 1000.0)).figures().values()) == {0}


def test_fake_images_of_one_mode_are_precise_and_cover_little():
    real = torch.cat([draw(100), draw(100, 50.0, seed=1)])
    one_mode = draw(200, seed=2)
    figures = manifolds(real, one_mode).figures()
    assert figures["precision"] > 0.9
    assert 0.4 < figures["recall"] < 0.6
    assert figures["coverage"] < 0.6


def test_precision_of_one_law_is_no_half_by_construction():
    assert manifolds(draw(300), draw(300, seed=1)).figures()["precision"] > 0.85


def test_intervals_hold_the_figures():
    result = manifolds(draw(200), draw(200, 1.0, seed=1))
    intervals, figures = result.intervals(), result.figures()
    assert intervals.keys() == figures.keys()
    for name, (low, high) in intervals.items():
        assert low < figures[name] < high


def test_unequal_or_tiny_sets_are_refused():
    with pytest.raises(EvaluationError, match=r"\b9\b.*\b8\b"):
        manifolds(draw(9), draw(8))
    with pytest.raises(ValueError, match=r"\b5 neighbors .*\b5 images"):
        manifolds(draw(5), draw(5))
