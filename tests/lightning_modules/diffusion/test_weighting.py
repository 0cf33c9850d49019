from __future__ import annotations

import pytest
import torch

from lightning_modules.diffusion.tables import WEIGHTINGS
from lightning_modules.diffusion.weighting import (
    EDMWeighting,
    EpsWeighting,
    MinSNRWeighting,
    UniformWeighting,
    VelocityWeighting,
    VWeighting,
    Weighting,
)
from tests.helpers.tables import made

EVERY = made(WEIGHTINGS)
SIGMAS = torch.logspace(-3, 3, 61, dtype=torch.float64)

every_weighting = pytest.mark.parametrize("weighting", EVERY, ids=repr)


def at(weighting: Weighting, sigma: float) -> float:
    return weighting(torch.tensor([sigma], dtype=torch.float64)).item()


@every_weighting
def test_weights_are_positive_finite_and_do_not_grow_with_noise(weighting):
    weights = weighting(SIGMAS)
    assert weights.shape == SIGMAS.shape
    assert weights.dtype == SIGMAS.dtype
    assert (weights > 0).all()
    assert weights.isfinite().all()
    assert (weights.diff() <= 0).all()


@every_weighting
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_keep_dtype_and_shape(weighting, dtype):
    weights = weighting(torch.ones(2, 3, dtype=dtype))
    assert weights.dtype == dtype
    assert weights.shape == (2, 3)


@pytest.mark.parametrize(
    ("weighting", "sigma", "expected"),
    [
        (EDMWeighting(), 0.5, 8.0),  # (0.25 + 0.25) / 0.0625
        (EDMWeighting(sigma_data=1.0), 2.0, 1.25),
        (EpsWeighting(), 0.5, 4.0),
        (VWeighting(), 0.5, 5.0),
        (VelocityWeighting(), 1.0, 4.0),
        (VelocityWeighting(), 1 / 3, 16.0),
        (MinSNRWeighting(), 0.5, 4.0),
        (UniformWeighting(), 0.5, 1.0),
    ],
    ids=repr,
)
def test_values_by_hand(weighting, sigma, expected):
    assert at(weighting, sigma) == pytest.approx(expected, rel=1e-12)


def test_velocity_weight_is_clipped_at_t_min():
    clipped = VelocityWeighting(t_min=0.05)
    assert clipped(SIGMAS).max() == pytest.approx(400.0, rel=1e-12)
    assert at(clipped, 0.05 / 0.95 * 0.99) == pytest.approx(400.0, rel=1e-12)
    assert at(clipped, 0.05 / 0.95 * 1.01) < 400.0
    assert at(VelocityWeighting(t_min=0.0), 1e-3) == pytest.approx(1001.0**2, rel=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_the_capped_signal_to_noise_ratio(gamma):
    weights, snr = MinSNRWeighting(gamma)(SIGMAS), SIGMAS**-2
    assert weights.max() == gamma
    capped = snr > gamma
    assert torch.equal(weights[~capped], snr[~capped])
    assert (weights[capped] == gamma).all()


def test_uniform_weight_is_one_everywhere():
    assert (UniformWeighting()(SIGMAS) == 1).all()
