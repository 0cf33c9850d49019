from __future__ import annotations

import json
import math
import pkgutil
from dataclasses import fields, replace
from inspect import signature
from typing import get_args

import pytest
import torch

from lightning_modules.diffusion.samplers.single_step import Churn, stochastic_heun
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.flow import flow_schedule
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import THRESHOLDS
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.sampling.names import SamplerName, ScheduleName, ThresholdName
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import classes, module, randomize

ASKED = classes(0, 1, 2)
SHAPE = (3, 8, 8)


class Counted:
    """A denoiser that counts its calls and the images in them."""

    def __init__(self, scale: float = 1.0):
        self.scale, self.calls, self.images = scale, 0, 0

    def __call__(self, x, sigma):
        self.calls += 1
        self.images += len(x)
        return self.scale * torch.tanh(x / (1 + sigma.reshape(-1, 1, 1, 1)))


def sampled(settings: Sampling, denoiser=None, weak=None) -> torch.Tensor:
    return settings.sample(denoiser or Counted(), ImageNoise(3, range(3), SHAPE), weak)


def test_the_choices_of_the_command_line_are_the_tables():
    assert list(get_args(SamplerName)) == list(SAMPLERS)
    assert list(get_args(ScheduleName)) == list(SCHEDULES)
    assert list(get_args(ThresholdName)) == ["none", *THRESHOLDS]


@pytest.mark.parametrize("named", [*SAMPLERS.values(), *SCHEDULES.values(), *THRESHOLDS.values()])
def test_the_settings_of_a_table_are_those_of_the_function(named):
    assert set(named.settings) <= {field.name for field in fields(Sampling)}
    taken = signature(pkgutil.resolve_name(named.path)).parameters
    assert set(named.settings) <= set(taken)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_sampler_works_on_every_schedule_at_its_declared_cost(sampler, schedule):
    denoiser = Counted()
    settings = Sampling(sampler, 5, schedule)
    images = sampled(settings, denoiser)
    assert images.shape == (3, *SHAPE)
    assert images.isfinite().all()
    assert denoiser.calls == settings.denoiser_evaluations
    assert denoiser.images == 3 * settings.denoiser_evaluations


def test_shift_is_the_flow_schedule_s():
    assert torch.equal(
        Sampling(schedule="flow", steps=6, shift=3.0).sigmas(), flow_schedule(6, 0.002, 80.0, 3.0)
    )


def test_churn_reaches_the_sampler():
    churn = Churn(8.0, 0.1, 10.0, 1.0)
    settings = Sampling("stochastic_heun", 6, churn=churn)
    noise, sigmas = ImageNoise(3, range(3), SHAPE), settings.sigmas()
    expected = stochastic_heun(Counted(), 80.0 * noise(), sigmas, noise, churn=churn)
    assert torch.equal(sampled(settings), expected)
    assert not torch.equal(sampled(settings), sampled(Sampling("stochastic_heun", 6)))


@pytest.mark.parametrize("threshold", ["clip", "dynamic"])
def test_thresholds_keep_images_in_range(threshold):
    assert sampled(Sampling(steps=4), Counted(3.0)).abs().max() > 1
    assert sampled(Sampling(steps=4, threshold=threshold), Counted(3.0)).abs().max() <= 1


def test_thresholding_follows_guidance():
    settings, weak = {"steps": 4, "guidance": 5.0}, Counted(0.5)
    assert sampled(Sampling(**settings), weak=weak).abs().max() > 1
    assert sampled(Sampling(**settings, threshold="clip"), weak=weak).abs().max() <= 1


def test_guidance_evaluates_both_denoisers():
    denoiser, weak = Counted(), Counted(0.5)
    images = sampled(Sampling(steps=4, guidance=2.0), denoiser, weak)
    assert (denoiser.images, weak.images) == (12, 12)
    torch.testing.assert_close(images, sampled(Sampling(steps=4), Counted(1.5)), rtol=1e-5, atol=1e-5)


def test_guidance_without_a_weaker_denoiser_is_refused():
    with pytest.raises(ValueError, match="guidance 2 needs"):
        sampled(Sampling(guidance=2.0))


def test_a_module_guides_another():
    model, guide = module(), module()
    randomize(model.network, 1)
    randomize(guide.network, 2)
    settings = Sampling(steps=2, guidance=2.0)
    images = sample(model, ASKED, settings, guide=guide)
    assert not torch.allclose(images, sample(model, ASKED, settings), atol=1e-3)
    itself = sample(model, ASKED, settings, guide=model)
    torch.testing.assert_close(itself, sample(model, ASKED, Sampling(steps=2)))


def test_a_module_guides_away_from_its_own_average():
    model, other = module(), module()
    randomize(model.network, 1)
    randomize(other.network, 2)
    model.ema = {0.25: {name: p.detach() for name, p in other.named_parameters()}}
    settings = Sampling(steps=2, guidance=2.0, guide_length=0.25)
    assert torch.equal(sample(model, ASKED, settings), sample(model, ASKED, settings, guide=other))
    unguided = Sampling(steps=2, guide_length=0.25)
    assert torch.equal(sample(model, ASKED, unguided), sample(model, ASKED, Sampling(steps=2)))
    with pytest.raises(ValueError, match=r"guide_length 0\.2\b.*: 0\.25\)"):
        sample(model, ASKED, replace(settings, guide_length=0.2))


@pytest.mark.parametrize(
    ("sampler", "guidance", "cost"), [("euler", 1.0, 4), ("euler", 2.0, 8), ("heun", 3.0, 14)]
)
def test_a_guided_evaluation_is_two_of_a_network(sampler, guidance, cost):
    assert Sampling(sampler, steps=4, guidance=guidance).nfe == cost


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("nfe", [2, 3, 14, 15])
def test_the_steps_within_a_budget_are_the_most_that_fit(sampler, guidance, nfe):
    within = Sampling(sampler, guidance=guidance).within(nfe)
    assert within.nfe <= nfe < replace(within, steps=within.steps + 1).nfe


def test_a_budget_below_one_guided_step_is_refused():
    assert Sampling().within(1).nfe == 1
    with pytest.raises(ValueError, match="nfe 1"):
        Sampling(guidance=2.0).within(1)


EVERY_OTHER = Sampling(
    "unipc", 7, "flow", 2.0, 0.1, (0.1, 5.0), 0.01, 50.0, 2.0, "dynamic", 0.9, Churn(1.0, 2.0, 3.0, 4.0)
)


@pytest.mark.parametrize("settings", [Sampling(), EVERY_OTHER], ids=["default", "other"])
def test_settings_survive_json(settings):
    text = json.dumps(settings.to_dict(), allow_nan=False)
    assert Sampling.from_dict(json.loads(text)) == settings


def test_every_field_has_been_changed_in_that_test():
    assert all(getattr(EVERY_OTHER, f.name) != getattr(Sampling(), f.name) for f in fields(Sampling))


def test_what_is_left_out_is_the_default():
    assert Sampling.from_dict({"guidance_interval": [0.1, None]}) == Sampling(
        guidance_interval=(0.1, math.inf)
    )


def test_a_setting_of_another_name_is_refused():
    with pytest.raises(TypeError, match="wiggle"):
        Sampling.from_dict({"wiggle": 1})


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sampler", "magic"),
        ("schedule", "cosine"),
        ("threshold", "soft"),
        *(("steps", value) for value in (0, -1, 10**12)),
        *(("guidance", value) for value in (NAN, math.inf, -math.inf)),
        *(
            ("guidance_interval", value)
            for value in ((3.0, 1.0), (1.0, 1.0), (-1.0, 2.0), (NAN, 1.0), (0.0, NAN))
        ),
        *(("sigma_min", value) for value in (0.0, -1.0, NAN, 80.0, 90.0)),
        *(("sigma_max", value) for value in (0.0, NAN, math.inf)),
        *(("shift", value) for value in (0.0, -1.0, NAN, math.inf)),
        *(("percentile", value) for value in (0.0, 1.5, NAN)),
        *(("guide_length", value) for value in (0.0, -0.1, 0.3, NAN)),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        Sampling(**{name: value})


@pytest.mark.parametrize("values", [(-1.0,), (NAN,), (math.inf,), (1.0, 3.0, 2.0), (1.0, 0.0, 1.0, 0.0)])
def test_churn_out_of_its_range_is_refused(values):
    with pytest.raises(ValueError, match=r"^churn"):
        Churn(*values)


def test_every_setting_with_a_range_is_checked():
    """A new setting is put into the test above, or said here to have no range."""
    assert {field.name for field in fields(Sampling)} == {
        *("sampler", "schedule", "threshold", "steps", "guidance", "guidance_interval", "sigma_min"),
        *("sigma_max", "shift", "percentile", "guide_length", "churn"),
    }
