from __future__ import annotations

from functools import partial

import pytest
import torch

from lightning_modules.diffusion.guidance import guided

X = torch.arange(12, dtype=torch.float64).reshape(3, 1, 2, 2)


class Recorder:
    """A denoiser that keeps the images and levels it was asked of."""

    def __init__(self, scale: float = 1.0):
        self.scale, self.calls = scale, []

    def __call__(self, x, sigma):
        self.calls.append((x, sigma))
        return self.scale * torch.sin(x + sigma.reshape(-1, 1, 1, 1))


def levels(sigma: float) -> torch.Tensor:
    return torch.full((3,), sigma, dtype=torch.float64)


weak = partial(Recorder, 0.5)
INTERVAL = (0.1, 2.0)


def estimates(sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    return Recorder()(X, levels(sigma)), weak()(X, levels(sigma))


@pytest.mark.parametrize("interval", [(0.0, float("inf")), INTERVAL])
def test_scale_one_is_the_very_same_denoiser(interval):
    denoiser = Recorder()
    assert guided(denoiser, weak(), 1, interval) is denoiser


def test_scale_zero_is_the_weaker_one():
    assert torch.equal(guided(Recorder(), weak(), 0.0)(X, levels(0.5)), estimates(0.5)[1])


@pytest.mark.parametrize("scale", [-1.0, 0.3, 1.5, 2.0, 7.5])
def test_estimate_is_linear_in_the_scale(scale):
    strong, weaker = estimates(0.5)
    estimate = guided(Recorder(), weak(), scale)(X, levels(0.5))
    torch.testing.assert_close(estimate, weaker + scale * (strong - weaker), rtol=1e-12, atol=1e-12)


def test_scale_next_to_one_is_continuous():
    estimate = guided(Recorder(), weak(), 1 + 1e-9)(X, levels(0.5))
    torch.testing.assert_close(estimate, estimates(0.5)[0], rtol=1e-6, atol=1e-6)


def test_a_denoiser_guided_by_itself_is_itself():
    estimate = guided(Recorder(), Recorder(), 3.0)(X, levels(0.5))
    torch.testing.assert_close(estimate, estimates(0.5)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 2.0001, 80.0])
def test_outside_the_interval_the_weaker_one_is_not_asked(sigma):
    denoiser, weaker = Recorder(), weak()
    estimate = guided(denoiser, weaker, 3.0, INTERVAL)(X, levels(sigma))
    assert (len(denoiser.calls), len(weaker.calls)) == (1, 0)
    assert torch.equal(estimate, estimates(sigma)[0])


@pytest.mark.parametrize("sigma", [0.1001, 1.0, 2.0])
def test_inside_the_interval_both_are_asked_the_same(sigma):
    denoiser, weaker = Recorder(), weak()
    guided(denoiser, weaker, 3.0, INTERVAL)(X, levels(sigma))
    for model in (denoiser, weaker):
        ((x, level),) = model.calls
        assert torch.equal(x, X)
        assert torch.equal(level, levels(sigma))


@pytest.mark.parametrize("sigma", [1e-6, 1e6])
def test_guidance_acts_everywhere_unless_told(sigma):
    weaker = weak()
    guided(Recorder(), weaker, 3.0)(X, levels(sigma))
    assert len(weaker.calls) == 1


def test_batch_permutation_permutes_the_estimates():
    evaluate = guided(Recorder(), weak(), 3.0)
    order = torch.tensor([2, 0, 1])
    assert torch.equal(evaluate(X[order], levels(0.5)), evaluate(X, levels(0.5))[order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    assert guided(Recorder(), weak(), 3.0)(X.to(dtype), levels(0.5).to(dtype)).dtype == dtype
