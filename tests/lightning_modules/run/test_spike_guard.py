"""Steps that would do harm are not taken; harm that was done is undone."""

from __future__ import annotations

import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision

from lightning_modules.callbacks.spike_guard import SpikeGuard, Spread
from lightning_modules.run.accidents import RollBackError
from lightning_modules.utils.differences import first_difference
from tests.helpers.exact import load, train
from tests.helpers.tiny import EachStep, weights


class Spoil(Callback):
    """Multiply gradients or losses of some steps, at the last micro-batch of each."""

    def __init__(self, steps: tuple[int, ...], gradient: float = 1.0, loss: float = 1.0) -> None:
        self.steps, self.gradient, self.loss = steps, gradient, loss

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step in self.steps and self.loss != 1.0:
            loss.data.mul_(self.loss)

    def on_after_backward(self, trainer, pl_module):
        if trainer.global_step in self.steps and self.gradient != 1.0:
            for parameter in pl_module.parameters():
                parameter.grad.mul_(self.gradient)


def run(folder, image_folder, spoil: Spoil, guard: SpikeGuard | None = None, **options):
    """A run with `spoil` before the guard sees the loss, and the weights after every step."""
    each = EachStep(lambda _, model: weights(model))
    guard = guard or SpikeGuard(memory=4, patience=3)
    train(folder, image_folder, guard=guard, first=(spoil,), extra=(each,), max_steps=12, **options)
    return guard, each.seen


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e6], ids=str)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_bad_gradient_is_not_stepped_with(image_folder, tmp_path, value, accumulation):
    """Neither weights nor moments change at steps 6 and 9; they do at all others."""
    options = {"accumulate_grad_batches": accumulation}
    guard, seen = run(tmp_path, image_folder, Spoil((6, 9), gradient=value), **options)
    assert guard.skipped == 2
    still = [step for step in range(2, 12) if first_difference(seen[step - 1], seen[step]) is None]
    assert still == [7, 10]  # steps taken: the one of index 6 is the seventh
    moments = [load(tmp_path, step)["optimizer_states"] for step in (6, 7, 8)]
    assert first_difference(moments[0][0]["state"], moments[1][0]["state"]) is None
    assert first_difference(moments[1][0]["state"], moments[2][0]["state"]) is not None


def test_a_step_not_taken_leaves_all_later_ones_as_they_would_be(image_folder, tmp_path):
    """The data go on by one step: what is left out is the step's update, not its place."""
    _, seen = run(tmp_path / "one", image_folder, Spoil((6,), gradient=math.nan))
    _, again = run(tmp_path / "again", image_folder, Spoil((6,), gradient=math.nan))
    assert first_difference(seen[12], again[12]) is None
    resume = tmp_path / "one" / "checkpoints" / "step=00000007.ckpt"
    run(tmp_path / "resumed", image_folder, Spoil(()), resume=resume)
    assert first_difference(load(tmp_path / "one", 12), load(tmp_path / "resumed", 12)) is None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Spoil((6, 7, 8), gradient=math.nan), r"^3 steps\b.*\bgradient\b"),
        (Spoil((6, 7, 8), loss=math.nan), r"^3 steps\b.*\bloss\b.*\bnan\b"),
        (Spoil((8,), loss=1e6), r"\bloss\b.*\d+ standard deviations"),
    ],
    ids=["gradients", "losses", "spike"],
)
def test_harm_that_was_done_asks_to_go_back(image_folder, tmp_path, spoil, reason):
    with pytest.raises(RollBackError, match=reason) as error:
        run(tmp_path, image_folder, spoil)
    assert error.value.step == 8


def test_two_bad_steps_in_a_row_are_not_enough(image_folder, tmp_path):
    guard, _ = run(tmp_path, image_folder, Spoil((4, 5, 8, 9), gradient=math.nan))
    assert guard.skipped == 4


def test_nothing_is_an_outlier_before_the_spread_is_known(image_folder, tmp_path):
    guard, _ = run(tmp_path, image_folder, Spoil((1, 2), gradient=1e6))
    assert guard.skipped == 0


def test_outliers_can_be_let_through(image_folder, tmp_path):
    guard, _ = run(tmp_path, image_folder, Spoil((8,), gradient=1e6), SpikeGuard(0.0, memory=4))
    assert guard.skipped == 0


def test_the_search_of_a_gradient_scaler_is_its_own_business(image_folder, tmp_path):
    """Overflows lower the scale and are no bad steps, more of them in a row than the guard's patience."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    spoil = Spoil((0, 1, 2, 3), gradient=math.inf)
    guard, seen = run(tmp_path, image_folder, spoil, plugins=[plugin])
    assert guard.skipped == 0
    assert scaler.get_scale() == 2.0**6
    assert first_difference(seen[1], seen[4]) is None
    assert first_difference(seen[4], seen[5]) is not None


def test_a_scaler_that_cannot_fall_any_more_counts(image_folder, tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=1000)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    with pytest.raises(RollBackError, match=r"^3 steps\b"):
        run(tmp_path, image_folder, Spoil(tuple(range(2, 9)), gradient=math.inf), plugins=[plugin])


def test_spread_is_the_mean_and_variance_of_logarithms():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, generator=generator, dtype=torch.float64).exp()
    spread = Spread()
    for value in values.tolist():
        spread.add(value, memory=50)
    assert spread.mean == pytest.approx(values.log().mean().item(), rel=1e-12)
    assert spread.variance == pytest.approx(values.log().var(correction=0).item(), rel=1e-12)
    assert spread.deviations(math.exp(spread.mean + 3 * spread.variance**0.5)) == pytest.approx(3)


def test_spread_forgets():
    spread = Spread()
    for value in [1.0] * 200 + [100.0] * 200:
        spread.add(value, memory=10)
    assert spread.mean == pytest.approx(math.log(100), rel=1e-6)


@pytest.mark.parametrize("options", [{"patience": 0}, {"deviations": -1.0}, {"memory": 1}])
def test_senseless_settings_are_refused(options):
    with pytest.raises(ValueError, match="spike_guard"):
        SpikeGuard(**options)
