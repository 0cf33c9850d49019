"""A run that is continued ends as one that was never stopped: bit for bit, in all that a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision

from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.utils.differences import first_difference
from tests.helpers.exact import PURE, load, path, train


@pytest.fixture(scope="module", params=[("dit", 1), ("dit", 3), ("unet", 3)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[str, int]:
    """A network and its accumulation."""
    return request.param


@pytest.fixture(scope="module")
def straight(image_folder, tmp_path_factory, case):
    kind, accumulation = case
    folder = tmp_path_factory.mktemp("straight")
    _, log = train(folder, image_folder, kind, accumulate_grad_batches=accumulation)
    return folder, log


@pytest.mark.parametrize("step", range(1, 7))
def test_from_any_step(image_folder, tmp_path, straight, case, step):
    folder, log = straight
    kind, accumulation = case
    resume = path(folder, step)
    _, later = train(
        tmp_path, image_folder, kind, start=9, resume=resume, accumulate_grad_batches=accumulation
    )
    assert [path.name for path in sorted((tmp_path / "checkpoints").glob("step=*.ckpt"))] == [
        path(folder, s).name for s in range(step + 1, 8)
    ]
    for after in range(step + 1, 8):
        assert first_difference(load(folder, after), load(tmp_path, after)) is None
    for name in PURE:
        expected = {at: value for at, value in log.metrics[name].items() if at >= step}
        assert later.metrics.get(name, {}) == expected, name


@pytest.mark.parametrize("options", [{"asynchronous": True}, {"every_n_steps": 2}], ids=str)
def test_however_it_is_saved(image_folder, tmp_path, straight, case, options):
    folder, _ = straight
    kind, accumulation = case
    settings = {"accumulate_grad_batches": accumulation, "checkpoint": options}
    train(tmp_path, image_folder, kind, start=3, **settings)
    train(tmp_path, image_folder, kind, start=4, resume=path(tmp_path, 4), **settings)
    one, other = load(folder, 7), load(tmp_path, 7)
    assert first_difference(one, other) is None


@pytest.mark.parametrize(
    "options",
    [
        {"images": {"workers": 2}},
        {"val_check_interval": 5},
        {"limit_val_batches": 0},
        {"log_every_n_steps": 4},
    ],
    ids=str,
)
def test_weights_do_not_depend_on_how_it_is_watched(image_folder, tmp_path, options):
    """On the loading, the validation and the logging."""
    train(tmp_path / "one", image_folder)
    train(tmp_path / "other", image_folder, **options)
    one, other = (load(tmp_path / name, 7) for name in ("one", "other"))
    for part in ("state_dict", "current_model_state", "optimizer_states"):
        assert first_difference(one[part], other[part]) is None


def test_resumed_with_other_workers(image_folder, tmp_path):
    train(tmp_path / "one", image_folder)
    train(tmp_path / "other", image_folder, resume=path(tmp_path / "one", 3), images={"workers": 2})
    assert first_difference(load(tmp_path / "one", 7), load(tmp_path / "other", 7)) is None


class Overflow(Callback):
    """Make the gradient of one step overflow, as a scale that is too large does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_after_backward(self, trainer, pl_module):
        if trainer.global_step == self.step:
            next(pl_module.parameters()).grad.fill_(float("inf"))


@pytest.mark.parametrize("step", [2, 3, 4, 5])
def test_gradient_scaler(image_folder, tmp_path, step):
    """The scale falls at an overflow and grows again; the schedule counts the step that was left out."""

    def run(name: str, resume: Path | None = None) -> Path:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        train(tmp_path / name, image_folder, resume=resume, plugins=[plugin], extra=(Overflow(3),))
        return tmp_path / name

    one = run("one")
    other = run("other", path(one, step))
    assert load(one, 3)["MixedPrecision"]["scale"] == 2048.0
    assert load(one, 4)["MixedPrecision"]["scale"] == 1024.0
    assert first_difference(load(one, 3)["current_model_state"], load(one, 4)["current_model_state"]) is None
    assert first_difference(load(one, 7), load(other, 7)) is None


def test_a_target_that_was_raised_changes_no_step_taken(image_folder, tmp_path):
    """Stopped at its target of five steps and raised to seven: as if seven had been meant."""
    train(tmp_path / "one", image_folder, schedule=LearningRate(2))
    train(tmp_path / "other", image_folder, schedule=LearningRate(2), max_steps=5)
    resume = path(tmp_path / "other", 5)
    train(tmp_path / "other", image_folder, schedule=LearningRate(2), resume=resume)
    assert first_difference(load(tmp_path / "one", 7), load(tmp_path / "other", 7)) is None
