from __future__ import annotations

import pytest
import torch

from lightning_modules.diffusion.schedules.flow import flow_schedule
from lightning_modules.diffusion.schedules.karras import karras_schedule
from lightning_modules.diffusion.schedules.log_snr import log_snr_schedule
from lightning_modules.diffusion.schedules.table import SCHEDULES

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def flow_time(sigma: torch.Tensor) -> torch.Tensor:
    return sigma / (1 + sigma)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 18, 1000])
@pytest.mark.parametrize("sigma_max", [1.0, 80.0])
def test_from_sigma_max_down_to_zero(schedule, steps, sigma_max):
    sigmas = schedule(steps, 0.002, sigma_max)
    assert sigmas.shape == (steps + 1,)
    assert sigmas.dtype == torch.float64
    assert sigmas[0].item() == pytest.approx(sigma_max, rel=1e-12)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    assert sigmas.isfinite().all()


def test_one_step_goes_straight_to_the_data():
    for schedule in SCHEDULES.values():
        torch.testing.assert_close(schedule(1, 0.002, 80.0), torch.tensor([80.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_formula(rho):
    steps, low, high = 9, 0.002, 80.0
    expected = [
        (high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        for i in range(steps)
    ]
    sigmas = karras_schedule(steps, low, high, rho)
    torch.testing.assert_close(
        sigmas, torch.tensor([*expected, 0.0], dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert sigmas[-2].item() == pytest.approx(low, rel=1e-10)


def test_larger_rho_puts_more_steps_at_small_noise():
    middles = [karras_schedule(11, 0.002, 80.0, rho)[5].item() for rho in (1.0, 3.0, 7.0)]
    assert middles[0] > middles[1] > middles[2]


def test_log_snr_grid_is_even_in_the_logarithm():
    sigmas = log_snr_schedule(9, 0.002, 80.0)
    gaps = sigmas[:-1].log().diff()
    torch.testing.assert_close(gaps, torch.full_like(gaps, gaps.mean().item()), rtol=1e-10, atol=0)
    assert sigmas[-2].item() == pytest.approx(0.002, rel=1e-12)


def test_log_snr_grid_is_the_karras_grid_of_infinite_rho():
    torch.testing.assert_close(
        karras_schedule(9, 0.002, 80.0, rho=1e7), log_snr_schedule(9, 0.002, 80.0), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("sigma_max", [1.0, 80.0])
def test_flow_grid_is_even_in_flow_time(sigma_max):
    t = flow_time(flow_schedule(10, 0.002, sigma_max))
    gaps = -t.diff()
    torch.testing.assert_close(
        gaps, torch.full_like(gaps, sigma_max / (1 + sigma_max) / 10), rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_shift_multiplies_noise_levels(shift):
    shifted = flow_schedule(10, 0.002, 80.0, shift)
    torch.testing.assert_close(shifted, shift * flow_schedule(10, 0.002, 80.0 / shift), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_shift_is_the_published_map_of_flow_time(shift):
    t = flow_time(flow_schedule(10, 0.002, 80.0 / shift))
    expected = shift * t / (1 + (shift - 1) * t)
    torch.testing.assert_close(flow_time(flow_schedule(10, 0.002, 80.0, shift)), expected, rtol=1e-12, atol=0)


def test_larger_shift_puts_more_steps_at_large_noise():
    middles = [flow_schedule(10, 0.002, 80.0, shift)[5].item() for shift in (0.5, 1.0, 3.0)]
    assert middles[0] < middles[1] < middles[2]


@every_schedule
@pytest.mark.parametrize("steps", [0, -3])
def test_too_few_steps_are_refused(schedule, steps):
    with pytest.raises(ValueError, match=r"\b1 step"):
        schedule(steps, 0.002, 80.0)


@every_schedule
@pytest.mark.parametrize(
    ("sigma_min", "sigma_max"), [(0.0, 80.0), (-1.0, 80.0), (80.0, 0.002), (1.0, 1.0), (0.1, float("nan"))]
)
def test_bad_noise_levels_are_refused(schedule, sigma_min, sigma_max):
    with pytest.raises(ValueError, match="0 < sigma_min < sigma_max"):
        schedule(10, sigma_min, sigma_max)
