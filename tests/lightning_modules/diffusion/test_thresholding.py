from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from lightning_modules.diffusion.thresholding import dynamic_thresholding, static_thresholding

SIGMA = torch.ones(3)


def estimate(scale: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = scale * torch.tensor([0.1, 1.0, 3.0]).reshape(3, 1, 1, 1)
    return scales * torch.randn(3, 3, 8, 8, generator=generator, dtype=torch.float64)


def apply(thresholded) -> torch.Tensor:
    return thresholded(torch.zeros(3, 3, 8, 8), SIGMA)


def constant(images: torch.Tensor):
    return lambda x, sigma: images


def test_static_thresholding_clips():
    images = estimate()
    assert torch.equal(apply(static_thresholding(constant(images))), images.clip(-1, 1))


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.995, 1.0])
def test_dynamic_thresholding_is_that_of_diffusers(percentile):
    scheduler = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=percentile, sample_max_value=1e9)
    images = estimate()
    sampled = apply(dynamic_thresholding(constant(images), percentile))
    torch.testing.assert_close(sampled, scheduler._threshold_sample(images), rtol=1e-12, atol=0)


def test_dynamic_thresholding_leaves_images_in_range_alone():
    images = estimate(0.05).clip(-1, 1)
    assert torch.equal(apply(dynamic_thresholding(constant(images), 0.9)), images)


def test_dynamic_thresholding_treats_each_image_by_itself():
    images = estimate()
    together = apply(dynamic_thresholding(constant(images), 0.9))
    for index in range(3):
        alone = dynamic_thresholding(constant(images[index : index + 1]), 0.9)
        assert torch.equal(alone(torch.zeros(1, 3, 8, 8), SIGMA[:1])[0], together[index])
    assert together.abs().max() == 1


@pytest.mark.parametrize("percentile", [0.0, -1.0, 1.1, float("nan")])
def test_quantile_out_of_range_is_refused(percentile):
    with pytest.raises(ValueError, match="quantile"):
        dynamic_thresholding(constant(estimate()), percentile)
