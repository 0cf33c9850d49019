from __future__ import annotations

import itertools

import pytest
import torch

from lightning_modules.diffusion.preconditioning import EDM, Eps, FlowVelocity, FlowX, V
from lightning_modules.diffusion.tables import PRECONDITIONERS
from lightning_modules.diffusion.weighting import VelocityWeighting
from tests.helpers.tables import made

EVERY = [EDM(sigma_data=1.3), *made(PRECONDITIONERS)]
SIGMAS = torch.logspace(-3, 3, 25, dtype=torch.float64)

every_preconditioner = pytest.mark.parametrize("preconditioner", EVERY, ids=repr)


def draw(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(SIGMAS), 2, 3, 3, generator=generator, dtype=torch.float64)


@pytest.fixture
def triple() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x_0, noise = draw(0) / 2, draw(1)
    return x_0, noise, x_0 + SIGMAS.reshape(-1, 1, 1, 1) * noise


def per_image(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, 1, 1, 1)


@every_preconditioner
def test_a_network_that_hits_its_target_denoises_perfectly(preconditioner, triple):
    x_0, _, x = triple
    target = preconditioner.target(x_0, x, SIGMAS)
    denoised = preconditioner.denoise(lambda *_: target, x, SIGMAS)
    torch.testing.assert_close(denoised, x_0, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(EVERY, 2)), ids=repr)
def test_predictions_convert_there_and_back(one, other, triple):
    _, _, x = triple
    prediction = draw(2)
    denoised = one.denoise(lambda *_: prediction, x, SIGMAS)
    converted = other.target(denoised, x, SIGMAS)
    back = one.target(other.denoise(lambda *_: converted, x, SIGMAS), x, SIGMAS)
    torch.testing.assert_close(back, prediction, rtol=1e-9, atol=1e-9)


@every_preconditioner
def test_network_sees_scaled_images_and_one_noise_scale(preconditioner, triple):
    _, _, x = triple
    seen = []
    preconditioner.denoise(lambda *inputs: seen.append(inputs) or x, x, SIGMAS)
    (scaled, c_noise), *rest = seen
    assert not rest
    torch.testing.assert_close(scaled, per_image(preconditioner.scalars(SIGMAS)[2]) * x, rtol=1e-15, atol=0)
    torch.testing.assert_close(c_noise, torch.logit(SIGMAS / (1 + SIGMAS)) / 4, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(c_noise, SIGMAS.log() / 4, rtol=1e-15, atol=0)


@every_preconditioner
def test_coefficient_shapes(preconditioner):
    c_skip, c_out, c_in, c_noise = preconditioner.coefficients(SIGMAS)
    assert c_skip.shape == c_out.shape == c_in.shape == (len(SIGMAS), 1, 1, 1)
    assert c_noise.shape == SIGMAS.shape


@pytest.mark.parametrize("preconditioner", [EDM(), EDM(sigma_data=1.3), Eps(), V(), FlowVelocity()], ids=repr)
def test_default_weighting_is_the_error_of_the_network(preconditioner):
    _, c_out, _ = preconditioner.scalars(SIGMAS)
    torch.testing.assert_close(preconditioner.default_weighting()(SIGMAS), c_out**-2, rtol=1e-12, atol=0)


@pytest.mark.parametrize("preconditioner", [FlowX(), FlowX(t_min=0.2), FlowVelocity(t_min=0.1)], ids=repr)
def test_flow_weighting_is_the_error_of_the_velocity_clipped_at_t_min(preconditioner):
    t = SIGMAS / (1 + SIGMAS)
    weights = preconditioner.default_weighting()(SIGMAS)
    unclipped = t >= preconditioner.t_min
    assert unclipped.any()
    assert not unclipped.all()
    _, c_out, _ = FlowVelocity().scalars(SIGMAS)
    torch.testing.assert_close(weights[unclipped], c_out[unclipped] ** -2, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        weights[~unclipped], torch.full_like(t[~unclipped], preconditioner.t_min**-2), rtol=1e-12, atol=0
    )


def test_flow_x_clips_where_the_paper_does():
    assert FlowX().default_weighting() == VelocityWeighting(t_min=0.05)


@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_edm_input_and_target_have_unit_variance(sigma_data):
    c_skip, c_out, c_in = EDM(sigma_data).scalars(SIGMAS)
    one = torch.ones_like(SIGMAS)
    torch.testing.assert_close(c_in**2 * (sigma_data**2 + SIGMAS**2), one, rtol=1e-12, atol=0)
    # target = ((1 - c_skip) * x_0 - c_skip * sigma * noise) / c_out
    variance = ((1 - c_skip) ** 2 * sigma_data**2 + (c_skip * SIGMAS) ** 2) / c_out**2
    torch.testing.assert_close(variance, one, rtol=1e-9, atol=0)


def test_edm_amplifies_the_errors_of_the_network_least():
    """EDM, appendix B.6: among all `c_skip`, the one chosen needs the smallest `c_out` for a unit target."""
    c_skip, c_out, _ = EDM().scalars(SIGMAS)
    for change in (-1e-2, 1e-2):
        other = c_skip + change
        assert (((1 - other) ** 2 * 0.5**2 + (other * SIGMAS) ** 2) > c_out**2).all()


def test_eps_target_is_the_noise(triple):
    x_0, noise, x = triple
    torch.testing.assert_close(Eps().target(x_0, x, SIGMAS), noise, rtol=1e-9, atol=1e-9)


def test_v_target(triple):
    x_0, noise, x = triple
    alpha = per_image(1 / (1 + SIGMAS**2).sqrt())
    alpha_sigma = per_image(SIGMAS / (1 + SIGMAS**2).sqrt())
    torch.testing.assert_close(alpha**2 + alpha_sigma**2, torch.ones_like(alpha))
    torch.testing.assert_close(
        V().target(x_0, x, SIGMAS), alpha * noise - alpha_sigma * x_0, rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(V().coefficients(SIGMAS).c_in * x, alpha * x_0 + alpha_sigma * noise)


def test_flow_velocity_target_is_noise_minus_data(triple):
    x_0, noise, x = triple
    torch.testing.assert_close(FlowVelocity().target(x_0, x, SIGMAS), noise - x_0, rtol=1e-9, atol=1e-9)


def test_flow_x_target_is_the_data_exactly(triple):
    x_0, _, x = triple
    assert torch.equal(FlowX().target(x_0, x, SIGMAS), x_0)


@pytest.mark.parametrize("preconditioner", [FlowVelocity(), FlowX()], ids=repr)
def test_flow_networks_see_the_straight_line_from_data_to_noise(preconditioner, triple):
    x_0, noise, x = triple
    t = per_image(SIGMAS / (1 + SIGMAS))
    seen = preconditioner.coefficients(SIGMAS).c_in * x
    torch.testing.assert_close(seen, (1 - t) * x_0 + t * noise, rtol=1e-12, atol=1e-12)


@every_preconditioner
def test_noised_target_says_whether_the_target_depends_on_the_noise(preconditioner, triple):
    x_0, _, x = triple
    other_x = x_0 + per_image(SIGMAS) * draw(7)
    same = torch.equal(preconditioner.target(x_0, x, SIGMAS), preconditioner.target(x_0, other_x, SIGMAS))
    assert preconditioner.noised_target != same


@every_preconditioner
def test_mixing_keeps_the_precision_of_the_images(preconditioner, triple):
    x, sigma = triple[2].float(), SIGMAS.float()
    prediction = draw(3).bfloat16()
    denoised = preconditioner.denoise(lambda *_: prediction, x, sigma)
    assert denoised.dtype == torch.float32
    c = preconditioner.coefficients(sigma)
    assert torch.equal(denoised, c.c_skip * x + c.c_out * prediction.float())


@every_preconditioner
def test_images_are_denoised_independently(preconditioner, triple):
    x, order = triple[2], torch.randperm(len(SIGMAS), generator=torch.Generator().manual_seed(0))
    network = lambda x, c_noise: torch.tanh(x + per_image(c_noise))  # noqa: E731
    denoised = preconditioner.denoise(network, x, SIGMAS)
    permuted = preconditioner.denoise(network, x[order], SIGMAS[order])
    assert torch.equal(permuted, denoised[order])
