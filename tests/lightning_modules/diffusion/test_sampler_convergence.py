"""On Gaussian data the denoiser, the end of the ODE and the law of the samples are known in closed form."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch

from lightning_modules.diffusion.samplers.multistep import ADAMS_BASHFORTH
from lightning_modules.diffusion.samplers.single_step import Churn, stochastic_heun
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.flow import flow_schedule
from lightning_modules.diffusion.schedules.karras import karras_schedule
from lightning_modules.diffusion.schedules.table import SCHEDULES

SIGMA_MAX = 10.0


def ode_error(name, gaussian, sigmas, no_noise) -> float:
    generator = torch.Generator().manual_seed(0)
    x = SIGMA_MAX * torch.randn(8, 1, 2, 2, generator=generator, dtype=torch.float64)
    sampled = SAMPLERS[name](gaussian.denoise, x, sigmas, no_noise)
    return (sampled - gaussian.ode_end(x, SIGMA_MAX)).abs().max().item()


def slopes(errors: list[float]) -> list[float]:
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


# DPM-Solver++(3M) is second order by its half weight of the quadratic term, iPNDM by its weights for even
# steps; UniPC's corrector adds one to the order 3 of its predictor. sigma_min is so small that the step from
# it to 0, first order, is far below the errors measured. Heun and Euler work in sigma, so the flow schedule
# suits them; DPM-Solver++ works in ln sigma, in which it ends in steps that doubling does not halve.
@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        *((name, karras_schedule) for name, known in SAMPLERS.items() if not known.stochastic),
        ("euler", flow_schedule),
        ("heun", flow_schedule),
    ],
)
def test_order_of_convergence(name, schedule, gaussian, no_noise):
    errors = [
        ode_error(name, gaussian, schedule(n, 1e-5, SIGMA_MAX), no_noise) for n in (128, 256, 512, 1024)
    ]
    for slope in slopes(errors):
        assert slope == pytest.approx(SAMPLERS[name].order, abs=0.12)


@pytest.mark.parametrize("places", ADAMS_BASHFORTH)
def test_weights_of_ipndm_extrapolate_polynomials_exactly_over_even_steps(places):
    """The integral over the next step of `u^j`, known at u = 0, -1, -2, ..., is 1 / (j + 1)."""
    for j in range(places):
        integral = sum(w * (-float(k)) ** j for k, w in enumerate(ADAMS_BASHFORTH[places]))
        assert integral == pytest.approx(1 / (j + 1), abs=1e-13)


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_error_falls_with_every_doubling(name, schedule, gaussian, no_noise):
    errors = [ode_error(name, gaussian, schedule(n, 1e-3, SIGMA_MAX), no_noise) for n in (8, 16, 32, 64, 128)]
    assert all(fine < 0.6 * coarse for coarse, fine in itertools.pairwise(errors))


@pytest.mark.parametrize("name", ["dpmpp_3m", "unipc", "ipndm"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_error_of_three_and_four_points_is_small_in_the_end(name, schedule, gaussian, no_noise):
    """With few steps their extrapolation overshoots, so that not every doubling pays."""
    few, many = (ode_error(name, gaussian, schedule(n, 1e-3, SIGMA_MAX), no_noise) for n in (16, 256))
    assert many < few / 25


def test_second_order_pays_at_equal_cost(gaussian, no_noise):
    """At 31 evaluations, of which Heun makes 16 steps."""
    errors = {
        name: ode_error(name, gaussian, karras_schedule(steps, 1e-3, SIGMA_MAX), no_noise)
        for name, steps in (("euler", 31), ("heun", 16), ("dpmpp_2m", 31), ("unipc", 31), ("dpmpp_3m", 31))
    }
    assert errors["heun"] < errors["euler"] / 1.5
    assert errors["dpmpp_2m"] < errors["euler"] / 4
    assert errors["dpmpp_3m"] < errors["dpmpp_2m"] / 2
    assert errors["unipc"] < errors["dpmpp_2m"] / 2


def variance(sampler, gaussian, sigmas: torch.Tensor) -> torch.Tensor:
    """Variance of a stochastic sampler's images in the eigen-directions of the data, exactly.

    On Gaussian data the sampler is affine in the starting noise and the draws, and these are independent:
    each batch entry receives one of them only, as 1, and the squares of the results add up.
    """
    count = len(sigmas) - 1
    x = torch.zeros(count, 1, 2, 2, dtype=torch.float64)
    x[0] = sigmas[0]
    units = iter(torch.eye(count, dtype=torch.float64)[1:])

    def denoise(x, sigma):
        return gaussian.variances.reshape(2, 2) / (gaussian.variances.reshape(2, 2) + sigma[0] ** 2) * x

    def noise():
        return next(units).reshape(-1, 1, 1, 1).expand_as(x)

    sampled = sampler(denoise, x, sigmas, noise)
    return sampled.flatten(1).square().sum(0)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_ancestral_variance_tends_to_the_data_s_at_first_order(schedule, gaussian):
    errors = [
        (variance(SAMPLERS["ancestral"], gaussian, schedule(n, 1e-4, 80.0)) - gaussian.variances)
        .abs()
        .max()
        .item()
        for n in (64, 128, 256, 512)
    ]
    assert errors[-1] < 0.03
    for slope in slopes(errors):
        assert slope == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("amount", [5.0, 40.0])
def test_stochastic_heun_s_variance_tends_to_the_data_s_at_second_order(amount, gaussian):
    """The noise it adds leads exactly from one noise level's law to another's; Heun's step alone errs."""
    sampler = partial(stochastic_heun, churn=Churn(amount, 0.05, 50.0, scale=1.0))
    errors = [
        (variance(sampler, gaussian, karras_schedule(n, 1e-4, 80.0)) - gaussian.variances).abs().max().item()
        for n in (128, 256, 512, 1024)
    ]
    assert errors[-1] < 1e-3
    for slope in slopes(errors):
        assert slope == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("euler", 200),
        ("heun", 40),
        ("stochastic_heun", 100),
        ("dpmpp_2m", 50),
        ("dpmpp_3m", 50),
        ("unipc", 50),
        ("ipndm", 50),
        ("ancestral", 400),
    ],
)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_samples_have_the_mean_and_covariance_of_the_data(name, steps, schedule, gaussian):
    count, generator = 20_000, torch.Generator().manual_seed(2)

    def noise():
        return torch.randn(count, 1, 2, 2, generator=generator, dtype=torch.float64)

    sigmas = schedule(steps, 0.002, 80.0)
    sampled = SAMPLERS[name](gaussian.denoise, 80.0 * noise(), sigmas, noise).flatten(1)
    # Statistical errors: 1 / sqrt(count) = 0.007 for a mean, 0.01 for a variance, of the largest direction.
    torch.testing.assert_close(sampled.mean(0), gaussian.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(sampled.T.cov(), gaussian.covariance, rtol=0, atol=0.05)
