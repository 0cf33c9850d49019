"""The samplers against those of diffusers, an independent implementation, on the same non-linear network."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    IPNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.deprecated.scheduling_karras_ve import KarrasVeScheduler

from lightning_modules.diffusion.preconditioning import EDM, FlowVelocity, FlowX
from lightning_modules.diffusion.samplers.single_step import Churn, stochastic_heun
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.flow import flow_schedule
from lightning_modules.diffusion.schedules.karras import karras_schedule

# What diffusers 0.42 provokes when it turns a tensor into an array with numpy 2.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

STEPS = [5, 20, 50]

# float64 throughout where the scheduler allows it; some round the images to float32 at every step.
EXACT = {"rtol": 0, "atol": 1e-12}
ROUNDED = {"rtol": 0, "atol": 5e-6}


@pytest.fixture
def denoiser(toy_network):
    return partial(FlowX().denoise, toy_network)


def start(sigma: float) -> torch.Tensor:
    return sigma * torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def drawn(seed: int):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(5, 1, 2, 2, generator=generator, dtype=torch.float64)


def reference(scheduler, levels, scale, denoiser, x, **options) -> torch.Tensor:
    """Sample with a noise-predicting scheduler that works on `scale(sigma) * x`.

    Args:
        scheduler: After `set_timesteps`.
        levels: Noise level of each of its evaluations.
        scale: 1 for variance-exploding schedulers.
        denoiser: `D(x, sigma)`.
        x: Images at noise level `levels[0]`.
        options: For every `scheduler.step`.
    """
    images = scale(levels[0]) * x
    for timestep, sigma in zip(scheduler.timesteps, levels, strict=True):
        scheduler.scale_model_input(images, timestep)  # some insist on the call; the scaling is done here
        x = images / scale(sigma)
        noise = (x - denoiser(x, sigma.expand(len(x)))) / sigma
        images = scheduler.step(noise, timestep, images, **options).prev_sample
    return images


def exploding(sigma: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(sigma)


def preserving(sigma: torch.Tensor) -> torch.Tensor:
    return (1 + sigma**2).rsqrt()


def discrete(scheduler, steps: int) -> torch.Tensor:
    """Set up a scheduler over discrete timesteps in float64 and return its grid of noise levels."""
    scheduler.set_timesteps(steps)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    kept = scheduler.alphas_cumprod[scheduler.timesteps]
    return torch.cat([((1 - kept) / kept).sqrt(), kept.new_zeros(1)])


def continuous(scheduler, steps: int) -> torch.Tensor:
    """Set up a scheduler over noise levels in float64 and return its grid of them."""
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    scheduler.sigmas = scheduler.sigmas.double()
    return scheduler.sigmas


@pytest.mark.parametrize("steps", STEPS)
def test_euler_is_ddim(steps, denoiser, no_noise):
    scheduler = DDIMScheduler(clip_sample=False)
    sigmas = discrete(scheduler, steps)
    x = start(sigmas[0].item())
    expected = reference(scheduler, sigmas[:-1], preserving, denoiser, x, eta=0.0)
    torch.testing.assert_close(SAMPLERS["euler"](denoiser, x, sigmas, no_noise), expected, **EXACT)


@pytest.mark.parametrize("steps", STEPS)
def test_euler(steps, denoiser, no_noise):
    scheduler = EulerDiscreteScheduler(use_karras_sigmas=True)
    sigmas = continuous(scheduler, steps)
    x = start(sigmas[0].item())
    expected = reference(scheduler, sigmas[:-1], exploding, denoiser, x)
    torch.testing.assert_close(SAMPLERS["euler"](denoiser, x, sigmas, no_noise), expected, **ROUNDED)


@pytest.mark.parametrize("steps", STEPS)
def test_ancestral_is_ddim_with_eta_one(steps, denoiser):
    scheduler = DDIMScheduler(clip_sample=False)
    sigmas = discrete(scheduler, steps)
    x = start(sigmas[0].item())
    generator = torch.Generator().manual_seed(9)
    expected = reference(scheduler, sigmas[:-1], preserving, denoiser, x, eta=1.0, generator=generator)
    torch.testing.assert_close(SAMPLERS["ancestral"](denoiser, x, sigmas, drawn(9)), expected, **EXACT)


@pytest.mark.parametrize("steps", STEPS)
def test_ancestral_is_ddpm(steps, denoiser):
    scheduler = DDPMScheduler(clip_sample=False, variance_type="fixed_small")
    sigmas = discrete(scheduler, steps)
    x = start(sigmas[0].item())
    generator = torch.Generator().manual_seed(9)
    expected = reference(scheduler, sigmas[:-1], preserving, denoiser, x, generator=generator)
    torch.testing.assert_close(SAMPLERS["ancestral"](denoiser, x, sigmas, drawn(9)), expected, **EXACT)


@pytest.mark.parametrize("steps", STEPS)
def test_ancestral(steps, denoiser):
    scheduler = EulerAncestralDiscreteScheduler()
    sigmas = continuous(scheduler, steps)
    x = start(sigmas[0].item())
    generator = torch.Generator().manual_seed(9)
    expected = reference(scheduler, sigmas[:-1], exploding, denoiser, x, generator=generator)
    sampled = SAMPLERS["ancestral"](denoiser, x, sigmas, drawn(9))
    torch.testing.assert_close(sampled, expected, **ROUNDED)


@pytest.mark.parametrize("steps", STEPS)
def test_heun(steps, denoiser, no_noise):
    scheduler = HeunDiscreteScheduler(use_karras_sigmas=True)
    levels = continuous(scheduler, steps)  # all but the first and the last twice
    sigmas = torch.cat([levels[:1], levels[1:-1:2], levels[-1:]])
    x = start(sigmas[0].item())
    expected = reference(scheduler, levels[:-1], exploding, denoiser, x)
    torch.testing.assert_close(SAMPLERS["heun"](denoiser, x, sigmas, no_noise), expected, **EXACT)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("karras", [True, False])
def test_dpmpp_2m(steps, karras, denoiser, no_noise):
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
        use_karras_sigmas=karras,
    )
    sigmas = continuous(scheduler, steps)
    x = start(sigmas[0].item())
    expected = reference(scheduler, sigmas[:-1], preserving, denoiser, x)
    sampled = SAMPLERS["dpmpp_2m"](denoiser, x, sigmas, no_noise)
    torch.testing.assert_close(sampled, expected, **ROUNDED)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("karras", [True, False])
def test_dpmpp_3m(steps, karras, denoiser, no_noise):
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++",
        solver_order=3,
        solver_type="midpoint",
        lower_order_final=False,
        final_sigmas_type="zero",
        use_karras_sigmas=karras,
    )
    sigmas = continuous(scheduler, steps)
    x = start(sigmas[0].item())
    expected = reference(scheduler, sigmas[:-1], preserving, denoiser, x)
    sampled = SAMPLERS["dpmpp_3m"](denoiser, x, sigmas, no_noise)
    torch.testing.assert_close(sampled, expected, **ROUNDED)


@pytest.mark.parametrize("steps", [1, 2, 3, *STEPS])
@pytest.mark.parametrize("karras", [True, False])
def test_unipc(steps, karras, denoiser, no_noise):
    scheduler = UniPCMultistepScheduler(
        solver_order=3,
        solver_type="bh2",
        final_sigmas_type="zero",
        use_karras_sigmas=karras,
    )
    sigmas = continuous(scheduler, steps)
    x = start(sigmas[0].item())
    expected = reference(scheduler, sigmas[:-1], preserving, denoiser, x)
    sampled = SAMPLERS["unipc"](denoiser, x, sigmas, no_noise)
    torch.testing.assert_close(sampled, expected, **ROUNDED)


@pytest.mark.parametrize("steps", STEPS)
def test_ipndm(steps, denoiser, no_noise):
    """On the Karras grid, given to the scheduler as its betas; its network predicts `v`.

    The scheduler extrapolates over the last step as well, which here is Euler's.
    """
    sigmas = karras_schedule(steps, 0.002, 80.0)
    scheduler = IPNDMScheduler(trained_betas=(sigmas * preserving(sigmas)).tolist())
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    scheduler.alphas, scheduler.betas = preserving(sigmas), sigmas * preserving(sigmas)
    x = start(80.0)
    images = x * scheduler.alphas[0]
    for timestep, sigma, alpha, beta in zip(
        scheduler.timesteps, sigmas, scheduler.alphas, scheduler.betas, strict=False
    ):
        denoised = denoiser(images / alpha, sigma.expand(len(x)))
        if sigma == sigmas[-2]:
            images = denoised
            break
        v = alpha * (images - alpha * denoised) / beta - beta * denoised
        images = scheduler.step(v, timestep, images).prev_sample
    torch.testing.assert_close(SAMPLERS["ipndm"](denoiser, x, sigmas, no_noise), images, rtol=0, atol=1e-10)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("amount", [0.0, 5.0, 40.0])
def test_stochastic_heun(steps, amount, denoiser):
    """Its network predicts `(D - x) / sigma`."""
    sigmas = karras_schedule(steps, 0.002, 80.0)
    scheduler = KarrasVeScheduler(s_churn=amount, s_min=0.05, s_max=50.0, s_noise=1.003)
    scheduler.set_timesteps(steps)
    x = expected = start(80.0)
    generator = torch.Generator().manual_seed(9)
    for sigma, sigma_next in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        churned, raised = scheduler.add_noise_to_input(expected, sigma, generator)

        def output(images, level):
            levels = torch.full((len(images),), level, dtype=torch.float64)
            return (denoiser(images, levels) - images) / level

        step = scheduler.step(output(churned, raised), raised, sigma_next, churned)
        expected = step.prev_sample
        if sigma_next > 0:
            expected = scheduler.step_correct(
                output(expected, sigma_next), raised, sigma_next, churned, expected, step.derivative
            ).prev_sample
    churn = Churn(amount, 0.05, 50.0, 1.003)
    # The scheduler draws in float32 and at every step, also where it then adds nothing.
    source = torch.Generator().manual_seed(9)
    draws = [torch.randn(x.shape, generator=source) for _ in range(steps)]
    used = iter(
        [
            draw
            for draw, sigma in zip(draws, sigmas[:-1].tolist(), strict=True)
            if churn.raised(sigma, steps) > sigma
        ]
    )
    sampled = stochastic_heun(denoiser, x, sigmas, lambda: next(used), churn=churn)
    torch.testing.assert_close(sampled, expected, **ROUNDED)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(
    ("name", "scheduler_type"), [("euler", EDMEulerScheduler), ("dpmpp_2m", EDMDPMSolverMultistepScheduler)]
)
def test_edm_preconditioning_on_the_karras_grid(name, scheduler_type, steps, toy_network, no_noise):
    """Here diffusers makes the grid, the network's inputs and the estimate from its output, too."""
    scheduler = scheduler_type(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0)
    scheduler.set_timesteps(steps)
    sigmas = karras_schedule(steps, 0.002, 80.0, rho=7.0)
    torch.testing.assert_close(scheduler.sigmas.double(), sigmas, rtol=1e-5, atol=0)
    x = expected = start(80.0)
    for c_noise in scheduler.timesteps:
        scaled = scheduler.scale_model_input(expected, c_noise)
        prediction = toy_network(scaled, c_noise.double().expand(len(x)))
        expected = scheduler.step(prediction, c_noise, expected).prev_sample
    denoiser = partial(EDM(0.5).denoise, toy_network)
    sampled = SAMPLERS[name](denoiser, x, sigmas, no_noise)
    torch.testing.assert_close(sampled, expected, **ROUNDED)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_is_flow_matching_on_the_flow_grid(steps, shift, toy_network, no_noise):
    """Here diffusers shifts the grid and integrates the network's own output, the velocity, in flow time."""
    sigmas = flow_schedule(steps, 0.002, 80.0, shift)
    t_max = (80.0 / shift) / (1 + 80.0 / shift)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[t_max * (1 - i / steps) for i in range(steps)])
    torch.testing.assert_close(scheduler.sigmas.double(), sigmas / (1 + sigmas), rtol=0, atol=1e-6)
    x = start(80.0)
    expected = x / (1 + 80.0)
    for timestep, sigma in zip(scheduler.timesteps, sigmas[:-1], strict=True):
        velocity = toy_network(expected, (sigma.log() / 4).expand(len(x)))
        expected = scheduler.step(velocity, timestep, expected).prev_sample
    denoiser = partial(FlowVelocity().denoise, toy_network)
    sampled = SAMPLERS["euler"](denoiser, x, sigmas, no_noise)
    torch.testing.assert_close(sampled, expected, **ROUNDED)
