"""Fréchet distance, KID and Inception score against independent code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from lightning_modules.metrics.frechet import frechet_distance
from lightning_modules.metrics.inception_score import inception_score
from lightning_modules.metrics.kid import kernel_distance, kernel_distance_interval
from lightning_modules.metrics.pairs import EvaluationError, interval


def gaussians(n=60, features=12, shift=0.0, seed=0):
    """Correlated features of two laws that differ by a shift and a scale."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(features, features, generator=generator)
    real = torch.randn(n, features, generator=generator) @ mix
    fake = 1.3 * torch.randn(n, features, generator=generator) @ mix + shift
    return real, fake


@pytest.mark.parametrize("shift", [0.0, 2.0])
@pytest.mark.parametrize("features", [3, 12, 40])
def test_frechet_is_scipys_formula(shift, features):
    real, fake = gaussians(features=features, shift=shift)
    a, b = real.double().numpy(), fake.double().numpy()
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_a_set_with_itself_is_zero():
    real, _ = gaussians()
    assert abs(frechet_distance(real, real)) < 1e-6


def test_frechet_of_a_pure_shift_is_its_square():
    real, _ = gaussians()
    assert frechet_distance(real, real + 3) == pytest.approx(12 * 9, rel=1e-5)


@pytest.mark.parametrize("n", [2, 11, 12])
def test_frechet_without_full_rank_is_refused(n):
    real, fake = gaussians(n=n)
    with pytest.raises(EvaluationError, match=rf"N = {n} < 13\b.*KID"):
        frechet_distance(real, fake)
    assert frechet_distance(*gaussians(n=13)) > 0


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_an_error_and_not_zero(distance, bad):
    real, fake = gaussians()
    fake[3, 1] = bad
    with pytest.raises(EvaluationError, match="finite"):
        distance(real, fake)


def test_a_square_root_that_is_not_finite_is_an_error(monkeypatch):
    eigenvalues = torch.linalg.eigvals
    monkeypatch.setattr(torch.linalg, "eigvals", lambda matrix: eigenvalues(matrix) * float("nan"))
    with pytest.raises(EvaluationError, match="root"):
        frechet_distance(*gaussians())


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_unequal_sets_are_refused(distance):
    real, fake = gaussians()
    with pytest.raises(EvaluationError, match=rf"\b{len(real)}\b.*\b{len(real) - 1}\b"):
        distance(real, fake[:-1])


def direct_kid(x, y):
    """The estimator of the paper, two loops."""
    x, y = x.double().numpy(), y.double().numpy()
    n, features = x.shape

    def kernel(a, b):
        return (a @ b / features + 1) ** 3

    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (
        n * (n - 1)
    )
    across = sum(kernel(x[i], y[j]) for i in range(n) for j in range(n)) / n**2
    return within - 2 * across


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_kid_is_the_double_loop(shift):
    real, fake = gaussians(n=24, shift=shift)
    assert kernel_distance(real, fake) == pytest.approx(direct_kid(real, fake), rel=1e-10)


def test_kid_of_more_images_than_a_subset_averages_subsets(monkeypatch):
    monkeypatch.setattr("lightning_modules.metrics.kid.MAX_SUBSET", 40)
    real, fake = gaussians(n=200, shift=2.0)
    whole = direct_kid(real, fake)
    assert kernel_distance(real, fake) == pytest.approx(whole, rel=0.3)


def test_kid_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    kernel_distance(*gaussians())
    inception_score(gaussians()[0])
    assert torch.equal(before, torch.get_rng_state())


def test_kid_interval_holds_the_estimate_and_narrows_with_n():
    widths = []
    for n in (50, 800):
        real, fake = gaussians(n=n, shift=1.0)
        low, high = kernel_distance_interval(real, fake, replicates=200)
        assert low < kernel_distance(real, fake) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_kid_interval_covers_zero_for_sets_of_one_law_about_as_often_as_it_says():
    covered = 0
    for seed in range(40):
        data = torch.randn(120, 6, generator=torch.Generator().manual_seed(seed))
        low, high = kernel_distance_interval(data[:60], data[60:], replicates=200, seed=seed)
        covered += low <= 0 <= high
    assert covered >= 34  # of 40 at 95 %; a binomial law has fewer once in 1,400 times


def test_kid_bootstrap_of_one_resample_is_the_direct_sum_over_different_images():
    real, fake = gaussians(n=9, features=4)
    low, high = kernel_distance_interval(real, fake, replicates=1, seed=3)
    assert low == high
    generator = torch.Generator().manual_seed(3)
    i, j = (torch.randint(9, (1, 9), generator=generator)[0].tolist() for _ in range(2))

    def kernel(a, b):
        return float(a.double() @ b.double() / 4 + 1) ** 3

    def within(z, drawn):
        values = [kernel(z[p], z[q]) for p in drawn for q in drawn if p != q]
        return sum(values) / len(values)

    across = sum(kernel(real[p], fake[q]) for p in i for q in j) / 81
    assert low == pytest.approx(within(real, i) + within(fake, j) - 2 * across, rel=1e-10)


def test_inception_score_has_its_closed_forms():
    same = torch.zeros(40, 5)
    assert inception_score(same)[0] == pytest.approx(1)
    certain = 60 * torch.eye(4).repeat(50, 1)
    mean, _ = inception_score(certain, splits=2)
    assert mean == pytest.approx(4, rel=0.05)
    with pytest.raises(EvaluationError, match=r"\b20 .*logits"):
        inception_score(same[:19])


def test_interval_is_the_quantiles():
    low, high = interval(torch.arange(101.0))
    assert (low, high) == pytest.approx((2.5, 97.5))
