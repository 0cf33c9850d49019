from __future__ import annotations

import math

import pytest
import torch

from lightning_modules.diffusion.noise_levels import LogitNormal, LogNormal, Uniform
from lightning_modules.diffusion.tables import NOISE_DISTRIBUTIONS
from tests.helpers.tables import made

LAWS = [*made(NOISE_DISTRIBUTIONS), LogNormal(0.4, 2.0), LogitNormal(0.0, 1.0), Uniform(0.2, 0.7)]
Z = torch.linspace(-4, 4, 17, dtype=torch.float64)
PROBABILITIES = torch.tensor([(1 + math.erf(z / math.sqrt(2))) / 2 for z in Z.tolist()], dtype=torch.float64)

every_law = pytest.mark.parametrize("law", LAWS, ids=repr)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flow_time(sigma: torch.Tensor) -> torch.Tensor:
    return sigma / (1 + sigma)


@pytest.mark.parametrize("law", [LogNormal(), LogNormal(0.4, 2.0)], ids=repr)
def test_log_normal_quantiles(law):
    expected = (law.p_mean + law.p_std * Z).exp()
    torch.testing.assert_close(law.from_uniform(PROBABILITIES), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("law", [LogitNormal(), LogitNormal(-0.3, 1.5)], ids=repr)
def test_logit_normal_quantiles_in_flow_time(law):
    expected = torch.sigmoid(law.mean + law.std * Z)
    t = flow_time(law.from_uniform(PROBABILITIES))
    torch.testing.assert_close(t, expected, rtol=1e-9, atol=0)


def test_logit_normal_median_of_the_default():
    median = flow_time(LogitNormal().from_uniform(torch.tensor([0.5], dtype=torch.float64)))
    assert median.item() == pytest.approx(1 / (1 + math.exp(-0.8)), rel=1e-12)  # noisier than the middle


def test_edm_default_median():
    median = LogNormal().from_uniform(torch.tensor([0.5], dtype=torch.float64))
    assert median.item() == pytest.approx(math.exp(-1.2), rel=1e-12)


@pytest.mark.parametrize("law", [Uniform(), Uniform(0.2, 0.7)], ids=repr)
def test_uniform_quantiles_and_bounds_in_flow_time(law):
    probabilities = torch.linspace(0, 1, 11, dtype=torch.float64)
    t = flow_time(law.from_uniform(probabilities))
    expected = torch.linspace(law.t_min, law.t_max, 11, dtype=torch.float64)
    torch.testing.assert_close(t, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("t_min", "t_max"), [(0.0, 1.0), (0.5, 0.5), (0.7, 0.2), (-0.1, 0.9), (0.0, 1.5), (0.0, float("nan"))]
)
def test_uniform_refuses_bad_bounds(t_min, t_max):
    with pytest.raises(ValueError, match="0 <= t_min < t_max < 1"):
        Uniform(t_min, t_max)


@every_law
def test_levels_stay_positive_and_finite_at_the_ends_of_the_random_numbers(law, monkeypatch):
    ends = torch.tensor([0.0, 2.0**-24, 0.5, 1 - 2.0**-24])
    monkeypatch.setattr(torch, "rand", lambda count, generator, device: ends[:count])
    sigma = law.sample(4, generator())
    assert (sigma > 0).all()
    assert sigma.isfinite().all()
    assert sigma.log().isfinite().all()
    assert (sigma.diff() >= 0).all()


@every_law
def test_samples_follow_the_law(law):
    """Kolmogorov-Smirnov distance to the quantiles, at the 99.9 % point of its law."""
    count = 50_000
    samples = law.sample(count, generator()).double().sort().values
    quantiles = law.from_uniform(torch.arange(1, 200, dtype=torch.float64) / 200)
    empirical = torch.searchsorted(samples, quantiles) / count
    distance = (empirical - torch.arange(1, 200) / 200).abs().max()
    assert distance < 1.95 / math.sqrt(count)


@every_law
def test_sample_shape_and_dtype(law):
    sigma = law.sample(7, generator())
    assert sigma.shape == (7,)
    assert sigma.dtype == torch.float32


@every_law
def test_samples_are_the_generator_s(law):
    first, again, other = (law.sample(16, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_law
def test_successive_samples_differ(law):
    source = generator()
    assert not torch.equal(law.sample(16, source), law.sample(16, source))


@every_law
def test_any_shape_maps(law):
    assert law.from_uniform(torch.full((2, 3), 0.3)).shape == (2, 3)
