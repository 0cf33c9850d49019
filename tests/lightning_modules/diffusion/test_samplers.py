from __future__ import annotations

import pytest
import torch

from lightning_modules.diffusion.samplers.single_step import Churn, heun, stochastic_heun
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.karras import karras_schedule
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.sampling.image_noise import ImageNoise

every_sampler = pytest.mark.parametrize("name", SAMPLERS)
deterministic = pytest.mark.parametrize(
    "name", [name for name, known in SAMPLERS.items() if not known.stochastic]
)

SHAPE = (3, 2, 2)
POINTS = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(3, *SHAPE)
"""Three clean images."""


class Recorder:
    """The exact denoiser of images that are known; it keeps the noise levels it was asked at."""

    def __init__(self, *known):
        self.known, self.levels = list(known) or [0], []

    def __call__(self, x, sigma):
        assert sigma.shape == (len(x),)
        assert sigma.dtype == x.dtype
        assert (sigma == sigma[0]).all()
        self.levels.append(sigma[0].item())
        return POINTS[self.known].to(x.dtype)


def start(batch: int, sigma: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return sigma * torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=dtype)


def drawn(batch: int, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(1)
    return lambda: torch.randn(batch, *SHAPE, generator=generator, dtype=dtype)


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_known_images_are_hit_exactly(name, steps, schedule):
    known = [2, 0, 1, 1]
    sampled = SAMPLERS[name](Recorder(*known), start(4, 80.0), schedule(steps, 0.002, 80.0), drawn(4))
    torch.testing.assert_close(sampled, POINTS[known], rtol=0, atol=1e-12)


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20])
def test_number_of_evaluations_is_the_declared_one(name, steps):
    denoiser = Recorder()
    SAMPLERS[name](denoiser, start(1, 80.0), karras_schedule(steps, 0.002, 80.0), drawn(1))
    assert len(denoiser.levels) == SAMPLERS[name].evaluations(steps)
    assert SAMPLERS[name].evaluations(steps) == (2 * steps - 1 if "heun" in name else steps)


@every_sampler
@pytest.mark.parametrize("nfe", [1, 2, 7, 8, 35])
def test_steps_within_a_budget_are_the_most_that_fit(name, nfe):
    steps = SAMPLERS[name].steps_within(nfe)
    assert SAMPLERS[name].evaluations(steps) <= nfe < SAMPLERS[name].evaluations(steps + 1)


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        SAMPLERS["euler"].steps_within(0)


@every_sampler
def test_evaluations_are_at_the_levels_of_the_grid(name):
    denoiser, sigmas = Recorder(), karras_schedule(4, 0.002, 80.0)
    SAMPLERS[name](denoiser, start(1, 80.0), sigmas, drawn(1))
    levels = sigmas[:-1].tolist()
    if name == "heun":
        levels = [levels[0], *(level for level in levels[1:] for _ in range(2))]
    if name == "stochastic_heun":
        # Each step starts at the raised level of where it is, and is corrected at where it ends.
        raised = [Churn().raised(level, 4) for level in levels]
        levels = [level for pair in zip(raised, [*levels[1:], None], strict=True) for level in pair][:-1]
    assert denoiser.levels == levels


@deterministic
def test_deterministic_samplers_never_draw(name, no_noise):
    sigmas = karras_schedule(5, 0.002, 80.0)
    SAMPLERS[name](Recorder(), start(1, 80.0), sigmas, no_noise)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_ancestral_draws_once_a_step_but_the_last(steps):
    draws = []
    source = drawn(1)
    sigmas = karras_schedule(steps, 0.002, 80.0)
    SAMPLERS["ancestral"](Recorder(), start(1, 80.0), sigmas, lambda: draws.append(1) or source())
    assert len(draws) == steps - 1


def test_stochastic_heun_draws_where_it_churns_and_nowhere_else():
    sigmas, churn = karras_schedule(10, 0.002, 80.0), Churn(8.0, 0.05, 50.0)
    draws = []
    source = drawn(1)
    stochastic_heun(
        Recorder(),
        start(1, 80.0),
        sigmas,
        lambda: draws.append(1) or source(),
        churn=churn,
    )
    assert len(draws) == sum(0.05 <= sigma <= 50.0 for sigma in sigmas.tolist())


def test_stochastic_heun_without_churn_is_heun(no_noise):
    def denoiser(x, sigma):
        return torch.tanh(x / (1 + sigma.reshape(-1, 1, 1, 1)))

    given = start(2, 80.0), karras_schedule(6, 0.002, 80.0), no_noise
    assert torch.equal(stochastic_heun(denoiser, *given, churn=Churn(0.0)), heun(denoiser, *given))


def test_churn_raises_a_noise_level_by_at_most_the_square_root_of_two():
    assert Churn(40.0).raised(1.0, 100) == 1.4
    assert Churn(1e9).raised(1.0, 100) == pytest.approx(2**0.5)
    assert Churn(40.0, 0.5, 2.0).raised(0.4, 10) == 0.4
    assert Churn(40.0, 0.5, 2.0).raised(2.1, 10) == 2.1


@every_sampler
@pytest.mark.parametrize(
    "sigmas",
    [
        [80.0, 1.0],
        [80.0, 1.0, 1e-9],
        [0.0, 1.0, 80.0],
        [80.0, 1.0, 1.0, 0.0],
        [80.0, 1.0, 2.0, 0.0],
        [0.0],
        [],
        [80.0, 1.0, 0.0, 0.0],
        [80.0, 1.0, -1.0, 0.0],
        [80.0, float("nan"), 0.0],
    ],
    ids=str,
)
def test_a_grid_that_does_not_descend_to_zero_is_refused(name, sigmas):
    denoiser = Recorder()
    with pytest.raises(ValueError, match="descend"):
        SAMPLERS[name](denoiser, start(1, 80.0), torch.tensor(sigmas), drawn(1))
    assert not denoiser.levels


@every_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_keep_their_precision(name, dtype):
    x = start(2, 80.0, dtype)
    sigmas = karras_schedule(5, 0.002, 80.0)
    assert SAMPLERS[name](Recorder(0, 1), x, sigmas, drawn(2, dtype)).dtype == dtype


@every_sampler
def test_the_starting_noise_is_left_alone(name):
    x = start(2, 80.0)
    before = x.clone()
    SAMPLERS[name](Recorder(0, 1), x, karras_schedule(5, 0.002, 80.0), drawn(2))
    assert torch.equal(x, before)


@every_sampler
def test_an_image_is_the_same_in_any_batch(name):
    """With a stream of noise for each image; the denoiser here works pixel by pixel."""

    def denoiser(x, sigma):
        return torch.tanh(x / (1 + sigma.reshape(-1, 1, 1, 1)))

    def sample(indices):
        noise = ImageNoise(11, indices, SHAPE)
        sigmas = karras_schedule(6, 0.002, 80.0)
        return SAMPLERS[name](denoiser, sigmas[0].item() * noise(), sigmas, noise)

    together = sample([4, 9, 2])
    for position, index in enumerate([4, 9, 2]):
        torch.testing.assert_close(sample([index])[0], together[position], rtol=1e-6, atol=1e-6)
