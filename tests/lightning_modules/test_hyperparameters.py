"""What a model was made with travels in its checkpoint, which is read with `weights_only=True`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_modules.diffusion.noise_levels import LogitNormal, LogNormal, NoiseLevels, Uniform
from lightning_modules.diffusion.preconditioning import EDM, Eps, FlowVelocity, FlowX, Preconditioner, V
from lightning_modules.diffusion.weighting import (
    EDMWeighting,
    EpsWeighting,
    MinSNRWeighting,
    UniformWeighting,
    VelocityWeighting,
    VWeighting,
    Weighting,
)
from lightning_modules.module import AdamWSettings, DiffusionModule
from tests.helpers.tiny import KINDS, classes, draw, module, randomize, trainer

PRECONDITIONERS = [EDM(0.7), V(), Eps(), FlowVelocity(0.01), FlowX(0.1)]
NOISE_LEVELS = [LogNormal(-1.0, 0.9), LogitNormal(0.1, 0.7), Uniform(0.1, 0.9)]
WEIGHTINGS = [
    EDMWeighting(0.7),
    EpsWeighting(),
    VWeighting(),
    VelocityWeighting(0.2),
    MinSNRWeighting(3.0),
    UniformWeighting(),
    None,
]


def saved(model: DiffusionModule, folder: Path) -> DiffusionModule:
    run = trainer(folder)
    run.strategy.connect(model)
    run.save_checkpoint(folder / "model.ckpt")
    return type(model).load_from_checkpoint(folder / "model.ckpt", weights_only=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_gives_the_same_outputs(kind, tmp_path):
    shape = {
        "dit": {"mlp_ratio": 3.0, "merged_depth": 1, "merged_width": 8, "merged_heads": 2},
        "unet": {"channels": (16, 16), "unshuffle": 2},
    }
    options = {"preconditioner": V(), "weighting": MinSNRWeighting(3.0), "noise_levels": Uniform(0.1, 0.9)}
    settings = AdamWSettings(1e-4, (0.8, 0.95), 0.5)
    model = module(kind, **shape[kind], **options, cond_dropout=0.3, seed=7, optimizer=settings)
    loaded = saved(randomize(model), tmp_path)
    x, sigma = draw(3, 3, 8, 8), torch.tensor([0.1, 1.0, 9.0])
    assert torch.equal(loaded(x, sigma, classes(0, 1, 2)), model(x, sigma, classes(0, 1, 2)))
    assert (loaded.class_names, loaded.cond_dropout, loaded.seed) == (("a", "b"), 0.3, 7)
    assert (loaded.preconditioner, loaded.weighting, loaded.noise_levels) == tuple(options.values())
    assert loaded.optimizer_settings == settings
    assert loaded.hparams == model.hparams


def test_every_setting_is_tested_here():
    for base, objects in [
        (Preconditioner, PRECONDITIONERS),
        (NoiseLevels, NOISE_LEVELS),
        (Weighting, WEIGHTINGS[:-1]),
    ]:
        assert {type(setting) for setting in objects} == set(base.__subclasses__())


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS, ids=repr)
def test_preconditioners_and_their_weightings_survive(preconditioner, tmp_path):
    loaded = saved(module(preconditioner=preconditioner), tmp_path)
    assert loaded.preconditioner == preconditioner
    assert loaded.weighting == preconditioner.default_weighting()


@pytest.mark.parametrize("noise_levels", NOISE_LEVELS, ids=repr)
def test_noise_levels_survive(noise_levels, tmp_path):
    assert saved(module(noise_levels=noise_levels), tmp_path).noise_levels == noise_levels


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=repr)
def test_weightings_survive(weighting, tmp_path):
    loaded = saved(module(weighting=weighting), tmp_path)
    assert loaded.weighting == (weighting or FlowX().default_weighting())
