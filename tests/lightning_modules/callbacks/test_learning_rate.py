from __future__ import annotations

import logging
import math
import re

import pytest
from lightning.pytorch import Callback

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.module import AdamWSettings
from tests.helpers.tiny import KINDS, data, fit, module

PEAK = 2e-3


class RatesUsed(Callback):
    """The rate of every parameter group at the moment the optimizer steps."""

    def __init__(self) -> None:
        self.rates: dict[int, set[float]] = {}

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.rates[trainer.global_step] = {group["lr"] for group in optimizer.param_groups}


def rates_of(image_folder, folder, schedule, *callbacks, kind="dit", ckpt_path=None, **options):
    used = RatesUsed()
    model = module(kind, optimizer=AdamWSettings(PEAK))
    fit(folder, model, data(image_folder), [schedule, used, *callbacks], ckpt_path, **options)
    return used.rates


def test_warm_up_is_linear_and_reaches_the_peak_with_its_last_step():
    rate = LearningRate(warm_up=5)
    assert [rate.factor(step, 100) for step in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])


def test_no_warm_up_starts_at_the_peak():
    assert LearningRate(warm_up=0).factor(0, 10) == 1


@pytest.mark.parametrize("step", [10, 99, 10**6])
def test_without_cooldown_the_peak_is_held_for_ever(step):
    assert LearningRate(warm_up=10).factor(step, 100) == 1


@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_cooldown_by_hand(floor):
    rate = LearningRate(warm_up=2, cool_down=4, floor=floor)
    expected = [0.5, 1, 1, 1, 1, 1]
    expected += [floor + (1 - floor) * (1 - math.sqrt(quarter / 4)) for quarter in (1, 2, 3, 4)]
    assert [rate.factor(step, 10) for step in range(10)] == pytest.approx(expected)
    assert rate.factor(9, 10) == pytest.approx(floor)


@pytest.mark.parametrize("rate", [LearningRate(3, 7, floor=0.05), LearningRate(3, 7, 12, floor=0.05)])
def test_rises_once_and_falls_once_and_never_rises_again(rate):
    factors = [rate.factor(step, 25) for step in range(100)]
    peak = factors.index(1.0)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[30:] == [pytest.approx(0.05)] * 70
    assert min(factors) > 0


def test_a_longer_run_changes_no_step_before_the_earlier_cooldown():
    rate = LearningRate(warm_up=4, cool_down=5)
    short, long = ([rate.factor(step, target) for step in range(15)] for target in (20, 1000))
    assert short == long
    assert rate.factor(15, 20) < 1 == rate.factor(15, 1000)


def test_a_placed_cooldown_does_not_depend_on_the_target_at_all():
    rate = LearningRate(warm_up=4, cool_down=5, cool_down_start=10)
    targets = (-1, 12, 20, 1000)
    assert len({tuple(rate.factor(step, target) for step in range(40)) for target in targets}) == 1
    assert rate.factor(9, 20) == 1
    assert rate.factor(14, 20) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_up": -1}, "warm_up -1"),
        ({"cool_down": -2}, "cool_down -2"),
        ({"cool_down": 1, "cool_down_start": -3}, "cool_down_start -3"),
        ({"floor": 1.5}, r"floor .*\[0, 1\].* 1\.5"),
        ({"floor": -0.1}, r"floor .*\[0, 1\].* -0\.1"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LearningRate(**options)


@pytest.mark.parametrize(
    ("schedule", "trainer_options", "message"),
    [
        (LearningRate(5, 6, 3), {"max_steps": 100}, "cool_down_start"),
        (LearningRate(0, 6), {"max_time": "00:00:01:00"}, "needs --trainer.max_steps or"),
    ],
)
def test_a_cooldown_without_a_place_is_refused(image_folder, tmp_path, schedule, trainer_options, message):
    with pytest.raises(ValueError, match=message):
        rates_of(image_folder, tmp_path, schedule, **trainer_options)


@pytest.mark.parametrize("max_steps", [1, 2, 3, 7, 40, 449, 450, 451, 1400])
@pytest.mark.parametrize(("warm_up", "cool_down"), [(50, 400), (0, 400), (400, 50), (1000, 1), (1, 1000)])
def test_phases_fit_into_a_run_of_any_length_in_proportion(warm_up, cool_down, max_steps):
    rate = LearningRate(warm_up, cool_down, floor=0.1)
    phases = rate.phases(max_steps)
    assert min(phases.warm_up, phases.cool_down) >= 0
    assert phases.warm_up + phases.cool_down <= max_steps
    factors = [rate.factor(step, max_steps) for step in range(max_steps)]
    assert max(factors) == 1
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    if warm_up + cool_down <= max_steps:
        assert (phases.warm_up, phases.cool_down) == (warm_up, cool_down)
        assert rate.shortened(max_steps) is None
    else:
        assert abs(phases.warm_up - max_steps * warm_up / (warm_up + cool_down)) <= 1
        assert max_steps - phases.warm_up - phases.cool_down <= 1
        assert f"{phases.warm_up} and {phases.cool_down}" in rate.shortened(max_steps)


def test_a_warm_up_alone_is_not_shortened():
    """A run that ends in it goes on with it when its target is raised."""
    rate = LearningRate(warm_up=100)
    assert rate.phases(10) == rate.phases(1000)
    assert rate.shortened(10) is None


def test_a_shortened_schedule_is_said_once_and_trains(image_folder, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        used = rates_of(image_folder, tmp_path, LearningRate(5, 40), max_steps=9)
    assert [max(used[step]) / PEAK for step in (0, 1)] == pytest.approx([1, 1 - math.sqrt(1 / 8)])
    assert used[8] == {0.0}
    said = [record for record in caplog.records if "do not fit into 9" in record.getMessage()]
    assert len(said) == 1


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("stopped", [2, 4])
def test_a_shortened_run_goes_on_exactly_and_with_a_raised_target_as_the_longer_one(
    stopped, image_folder, tmp_path, caplog
):
    def run(name, **options):
        callbacks = LearningRate(warm_up=9, cool_down=9), StepCheckpoint(1, keep_last=9)
        return rates_of(image_folder, tmp_path / name, *callbacks, **options)

    short, long = run("short", max_steps=6), run("long", max_steps=20)
    checkpoint = tmp_path / "short" / "checkpoints" / f"step={stopped:08d}.ckpt"
    caplog.clear()
    again = run("again", max_steps=6, ckpt_path=checkpoint)
    assert again == {step: short[step] for step in range(stopped, 6)}
    assert "another length" not in caplog.text
    raised = run("raised", max_steps=20, ckpt_path=checkpoint)
    assert raised == {step: long[step] for step in range(stopped, 20)}
    assert "another length" in caplog.text


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize(
    ("first", "then", "warned"), [(6, 8, True), (30, 6, True), (30, 40, False), (6, 6, False)]
)
def test_another_length_is_told_where_it_changes_the_past(
    first, then, warned, image_folder, tmp_path, caplog
):
    """A run of 6 and one of 8 begin to fall at the same step, and fall at another pace."""

    def run(**options):
        callbacks = LearningRate(warm_up=2, cool_down=18), StepCheckpoint(1, keep_last=99)
        rates_of(image_folder, tmp_path, *callbacks, **options)

    run(max_steps=first)
    caplog.clear()
    run(max_steps=then, ckpt_path=tmp_path / "checkpoints" / "step=00000004.ckpt")
    assert ("another length" in caplog.text) == warned


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_optimiser_steps_with_the_scheduled_rate(image_folder, tmp_path, kind, accumulation):
    schedule = LearningRate(warm_up=2, cool_down=3, floor=0.1)
    options = {"max_steps": 7, "accumulate_grad_batches": accumulation, "kind": kind}
    used = rates_of(image_folder, tmp_path, schedule, **options)
    assert sorted(used) == list(range(7))
    for step, rates in used.items():
        assert rates == {PEAK * schedule.factor(step, 7)}


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resumed_run_goes_on_with_the_same_rates(image_folder, tmp_path, accumulation):
    """From a checkpoint in the warm-up, to a target that was raised in between: no peak is rescaled."""

    def run(name, **options):
        callbacks = LearningRate(warm_up=4, cool_down=2), StepCheckpoint(2, keep_last=9)
        options |= {"accumulate_grad_batches": accumulation}
        return rates_of(image_folder, tmp_path / name, *callbacks, **options)

    run("first", max_steps=6)
    checkpoint = tmp_path / "first" / "checkpoints" / "step=00000002.ckpt"
    again, straight = run("again", ckpt_path=checkpoint, max_steps=9), run("straight", max_steps=9)
    assert sorted(again) == [2, 3, 4, 5, 6, 7, 8]
    assert again == {step: straight[step] for step in again}


def test_a_run_at_its_floor_says_so_once(image_folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        rates_of(image_folder, tmp_path, LearningRate(1, 2, 2, floor=0.5), max_steps=8)
    said = [record.getMessage() for record in caplog.records if "floor" in record.getMessage()]
    assert len(said) == 1
    assert re.search(r"\b0\.001\b.*\bstep 3\b", said[0])


def test_a_run_that_ends_with_its_cooldown_does_not_warn(image_folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        rates_of(image_folder, tmp_path, LearningRate(1, 2), max_steps=4)
    assert "floor" not in caplog.text


def test_fast_dev_run_really_trains(image_folder, tmp_path):
    """Its one step must not fall into the cooldown of a run of one step, where the rate is 0."""
    used = rates_of(image_folder, tmp_path, LearningRate(0, 5), fast_dev_run=True)
    assert min(used[0]) > 0
