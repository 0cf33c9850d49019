"""Power-function averages against closed forms and against sums written out, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.integrate import quad

from lightning_modules.ema.profiles import (
    LONGEST,
    Profile,
    exponent_of,
    fit,
    length_of,
    newest_share,
)

LENGTHS = (1e-4, 0.01, 0.05, 0.1, 0.2, 0.28, LONGEST)


@pytest.mark.parametrize("length", LENGTHS)
def test_exponent_and_length_invert_each_other(length):
    assert length_of(exponent_of(length)) == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 6.94, 16.97, 1e3])
def test_length_and_exponent_invert_each_other(exponent):
    assert exponent_of(length_of(exponent)) == pytest.approx(exponent, rel=1e-9, abs=1e-7)


def test_the_usual_lengths_are_the_papers_exponents():
    assert exponent_of(0.05) == pytest.approx(16.97, abs=0.01)
    assert exponent_of(0.10) == pytest.approx(6.94, abs=0.01)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.29, math.inf, math.nan])
def test_lengths_that_no_average_has_are_refused(length):
    with pytest.raises(ValueError, match=r"0\.288675"):
        exponent_of(length)


@pytest.mark.parametrize("length", [0.03, 0.1, 0.25])
def test_the_length_is_the_standard_deviation_of_the_density(length):
    gamma = exponent_of(length)
    moments = [quad(lambda t, n=n: (gamma + 1) * t ** (gamma + n), 0, 1)[0] for n in range(3)]
    assert moments[0] == pytest.approx(1, rel=1e-9)
    assert math.sqrt(moments[2] - moments[1] ** 2) == pytest.approx(length, rel=1e-7)


@pytest.mark.parametrize("length", [0.05, 0.1, LONGEST])
def test_the_recursion_is_the_closed_form_sum(length):
    """Step s of t weighs (s^(gamma+1) - (s-1)^(gamma+1)) / t^(gamma+1), the density's integral over it."""
    gamma, steps = exponent_of(length), 200
    weights = torch.randn(steps, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    average = torch.full((), math.pi, dtype=torch.float64)  # whatever it was before the first step
    for step in range(1, steps + 1):
        torch._foreach_lerp_([average], [weights[step - 1]], newest_share(gamma, step))
    edges = (torch.arange(steps + 1, dtype=torch.float64) / steps) ** (gamma + 1)
    torch.testing.assert_close(average, (edges.diff() * weights).sum(), rtol=1e-12, atol=1e-14)


def test_the_longest_is_the_plain_mean():
    assert [newest_share(0.0, step) for step in (1, 2, 4)] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Profile(0.1, 3), Profile(0.1, 3)),
        (Profile(0.05, 4), Profile(0.2, 7)),
        (Profile(0.1, 9), Profile(0.07, 2)),
    ],
    ids=str,
)
def test_the_inner_product_is_the_integral(one, other):
    def density(profile: Profile, t: float) -> float:
        gamma = profile.exponent
        return (gamma + 1) * t**gamma / profile.step ** (gamma + 1)

    integral, _ = quad(lambda t: density(one, t) * density(other, t), 0, min(one.step, other.step))
    assert one.inner(other) == pytest.approx(integral, rel=1e-9)
    assert other.inner(one) == pytest.approx(integral, rel=1e-9)


KEPT = [Profile(length, step) for step, length in itertools.product(range(500, 4001, 500), (0.05, 0.1))]


def test_a_length_that_is_kept_is_taken_alone():
    found = fit(KEPT, Profile(0.1, 4000))
    assert found.error == 0
    assert found.factors == (0.0,) * 15 + (1.0,)


@pytest.mark.parametrize("length", [0.03, 0.06, 0.15, 0.2])
def test_the_factors_sum_to_one(length):
    assert sum(fit(KEPT, Profile(length, 4000)).factors) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("length", [0.06, 0.15])
def test_the_error_is_that_of_the_combined_density(length):
    wanted = Profile(length, 4000)
    found = fit(KEPT, wanted)
    at = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 100

    def density(profile: Profile) -> torch.Tensor:
        values = (profile.exponent + 1) / profile.step * (at / profile.step) ** profile.exponent
        return values * (at <= profile.step)

    combined = sum(factor * density(each) for factor, each in zip(found.factors, KEPT, strict=True))
    relative = torch.linalg.vector_norm(combined - density(wanted)) / torch.linalg.vector_norm(
        density(wanted)
    )
    assert found.error == pytest.approx(relative.item(), rel=1e-2)


def test_more_snapshots_fit_better():
    errors = [fit(KEPT[-2 * count :], Profile(0.15, 4000)).error for count in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.2
    assert errors[-1] < 0.05


@pytest.mark.parametrize(
    ("lengths", "steps", "errors"),
    [
        ((0.05, 0.1), range(100, 1001, 100), (7.7, 2.2, 0.8, 0.8, 0.9, 2.2, 5.3, 13.9)),
        ((0.05, 0.1), (900, 1000), (7.8, 2.3, 1.1, 1.8, 4.3, 15.3, 43.5, 83.5)),
        ((0.1,), range(100, 1001, 100), (48.6, 35.8, 18.1, 9.5, 5.2, 11.0, 19.1, 31.0)),
    ],
    ids=["two lengths", "two lengths, last two checkpoints", "one length"],
)
def test_the_table_of_what_is_within_reach(lengths, steps, errors):
    """Errors of the fit in percent, as the documentation gives them."""
    kept = [Profile(length, step) for step in steps for length in lengths]
    wanted = (0.03, 0.04, 0.06, 0.075, 0.12, 0.15, 0.2, 0.25)
    found = [100 * fit(kept, Profile(length, 1000)).error for length in wanted]
    assert found == pytest.approx(errors, abs=0.06)
