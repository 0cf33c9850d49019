from __future__ import annotations

from functools import partial

import pytest
import torch

from lightning_modules.diffusion.loss import denoising_loss
from lightning_modules.diffusion.preconditioning import EDM, Eps, FlowVelocity, FlowX, V
from lightning_modules.diffusion.weighting import EpsWeighting, UniformWeighting, VelocityWeighting

SIGMA = torch.tensor([0.01, 0.3, 1.0, 2.5, 80.0], dtype=torch.float64)


def draw(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, 1, 2, 2, generator=generator, dtype=torch.float64)


def test_value_by_hand():
    x_0 = torch.tensor([[1.0, -1.0], [0.0, 0.5]]).reshape(2, 1, 1, 2)
    noise = torch.tensor([[1.0, 0.0], [2.0, -1.0]]).reshape(2, 1, 1, 2)
    sigma = torch.tensor([0.5, 2.0])
    # x is [1.5, -1], [4, -1.5]; halved it is [0.75, -0.5], [2, -0.75]
    loss, error = denoising_loss(lambda x, sigma: x / 2, EpsWeighting(), x_0, noise, sigma)
    assert error.tolist() == [(0.0625 + 0.25) / 2, (4 + 1.5625) / 2]
    assert loss.tolist() == [4 * (0.0625 + 0.25) / 2, (4 + 1.5625) / 2 / 4]


@pytest.mark.parametrize("shape", [(5, 1, 2, 2), (5, 3, 8, 8)])
def test_terms_are_per_sample(shape):
    x_0 = torch.zeros(shape)
    terms = denoising_loss(lambda x, *_: x, UniformWeighting(), x_0, torch.ones(shape), SIGMA.float())
    assert terms.loss.shape == terms.error.shape == (5,)
    torch.testing.assert_close(
        terms.error, SIGMA.float() ** 2
    )  # the identity's error is the noise's variance


def test_the_denoiser_gets_the_noisy_images_and_their_levels():
    x_0, noise = draw(0), draw(1)
    seen = []
    denoising_loss(lambda *inputs: seen.append(inputs) or x_0, UniformWeighting(), x_0, noise, SIGMA)
    ((x, sigma),) = seen
    torch.testing.assert_close(x, x_0 + SIGMA[:, None, None, None] * noise, rtol=1e-15, atol=0)
    assert torch.equal(sigma, SIGMA)


@pytest.mark.parametrize("preconditioner", [EDM(), Eps(), V(), FlowVelocity()], ids=repr)
def test_default_weighting_makes_it_the_regression_of_the_network(preconditioner, toy_network):
    x_0, noise = draw(0), draw(1)
    x = x_0 + SIGMA[:, None, None, None] * noise
    denoiser = partial(preconditioner.denoise, toy_network)
    weighting = preconditioner.default_weighting()
    loss = denoising_loss(denoiser, weighting, x_0, noise, SIGMA).loss
    c = preconditioner.coefficients(SIGMA)
    prediction = toy_network(c.c_in * x, c.c_noise)
    expected = (prediction - preconditioner.target(x_0, x, SIGMA)).square().mean((1, 2, 3))
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)


def test_flow_x_is_trained_on_the_velocity(toy_network):
    """Predicting x_0 with the velocity's weight is regressing the velocity, where t is not clipped."""
    x_0, noise = draw(0), draw(1)
    x = x_0 + SIGMA[:, None, None, None] * noise
    denoiser = partial(FlowX().denoise, toy_network)
    loss = denoising_loss(denoiser, FlowX().default_weighting(), x_0, noise, SIGMA).loss
    velocity = FlowVelocity().target(denoiser(x, SIGMA), x, SIGMA)
    expected = (velocity - (noise - x_0)).square().mean((1, 2, 3))
    torch.testing.assert_close(loss[1:], expected[1:], rtol=1e-9, atol=0)
    assert SIGMA[0] / (1 + SIGMA[0]) < FlowX().t_min
    assert loss[0] < expected[0]


@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_initial_edm_loss_is_one_at_every_level(sigma_data):
    """Of a zero network; exact, as these images and noise have the moments of the laws they stand for."""
    x_0 = sigma_data * torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64).reshape(1, 1, 2, 2)
    noise = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64).reshape(1, 1, 2, 2)
    edm = EDM(sigma_data)
    denoiser = partial(edm.denoise, lambda x, c_noise: torch.zeros_like(x))
    loss, _ = denoising_loss(
        denoiser,
        edm.default_weighting(),
        x_0.expand(5, -1, -1, -1),
        noise.expand(5, -1, -1, -1),
        SIGMA,
    )
    torch.testing.assert_close(loss, torch.ones_like(loss), rtol=1e-9, atol=0)


def test_batch_permutation_permutes_the_terms(toy_network):
    x_0, noise = draw(0), draw(1)
    order = torch.tensor([3, 0, 4, 2, 1])
    loss = partial(denoising_loss, partial(EDM().denoise, toy_network), VelocityWeighting())
    terms = loss(x_0, noise, SIGMA)
    permuted = loss(x_0[order], noise[order], SIGMA[order])
    torch.testing.assert_close(permuted.loss, terms.loss[order], rtol=1e-12, atol=0)
    torch.testing.assert_close(permuted.error, terms.error[order], rtol=1e-12, atol=0)


def test_gradients_of_a_term_reach_its_own_image_only(toy_network):
    x_0 = draw(0).requires_grad_()
    terms = denoising_loss(partial(V().denoise, toy_network), UniformWeighting(), x_0, draw(1), SIGMA)
    (gradient,) = torch.autograd.grad(terms.loss[2], x_0)
    touched = gradient.abs().amax((1, 2, 3)) > 0
    assert touched.tolist() == [False, False, True, False, False]
