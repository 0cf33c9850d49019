"""What would fail in the middle of a run fails before it, and trying it leaves no trace."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.callbacks.evaluation import Evaluation
from lightning_modules.callbacks.rehearsal import rehearse, rehearse_sampling
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.sampling.settings import SAMPLERS, Sampling
from tests.helpers.command_line import LIGHTNING_WARNINGS, options, refusal
from tests.helpers.tiny import module, weights

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

FAILS_LATER = {
    "grid without rows": {"sample_grid.rows": 0},
    "last level above the first": {
        "sample_grid.sampling.sigma_min": 10,
        "sample_grid.sampling.sigma_max": 0.1,
    },
    "guide that is not kept": {"sample_grid.sampling.guidance": 2, "sample_grid.sampling.guide_length": 0.2},
    "overflow": {"sample_grid.sampling.guidance": 1e38},
    "best by held-out images that are not there": {"checkpoint.keep_best": 1, "data.val_fraction": 0},
    "unknown features": {"evaluation.every_n_steps": 2, "evaluation.features": "nothing"},
    "evaluation that samples nothing finite": {
        "evaluation.every_n_steps": 2,
        "evaluation.features": "random",
        "evaluation.sampling.guidance": 1e38,
    },
}


@pytest.mark.parametrize("name", FAILS_LATER)
def test_settings_of_a_callback_are_tried_before_there_is_a_run(
    name: str, args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    status, message = refusal([*args, *options(FAILS_LATER[name])], capsys)
    assert status == 2
    section = next(iter(FAILS_LATER[name])).partition(".")[0]
    assert section in message.splitlines()[-1]
    assert "Traceback" not in message
    assert not (tmp_path / "runs").exists()


class FewImages:
    """A data module with eight images of two classes."""

    train_labels = np.array([0, 1, 0, 1, 0, 1])
    val_labels = np.array([0, 1])
    class_names = ("a", "b")


def test_an_evaluation_with_too_few_images_is_refused() -> None:
    callback = Evaluation(every_n_steps=10, features="random")
    with pytest.raises(ValueError, match=r"--evaluation.every_n_steps 10: .* 8 images"):
        callback.rehearse(module(), FewImages())
    Evaluation(every_n_steps=0).rehearse(module(), FewImages())  # never evaluates
    callback.rehearse(module(), None)  # the images are elsewhere


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_every_sampler_can_be_rehearsed(sampler: str, guidance: float) -> None:
    rehearse_sampling(Sampling(sampler=sampler, guidance=guidance, guide_length=0.1), "sample_grid", 0)


def test_a_rehearsal_leaves_weights_and_generators_as_they_were() -> None:
    class Careless(SampleGrid):
        def rehearse(self, module: object, data: object) -> None:
            super().rehearse(module, data)
            torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002

    model = module()
    model.train()
    before = weights(model)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    rehearse([Careless(), Evaluation(5, features="random"), object()], model, None)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())
