"""A batch computed in parts: the same images, the same noise, the same gradient, the same step."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from datamodules.batches.batches import TrainBatches
from datamodules.batches.micro_batches import MicroBatches
from datamodules.batches.step_plan import LeftOut, StepPlan
from lightning_modules.run.recovery import Recovery
from lightning_modules.utils.differences import first_difference
from tests.helpers.exact import load, path, train
from tests.helpers.tiny import KINDS, data, module, randomize, trainer


@pytest.mark.parametrize(("batch_size", "split"), [(4, 2), (5, 2), (7, 4), (4, 4), (6, 1)])
def test_parts_are_the_batch(batch_size, split):
    plan = StepPlan(3, split)
    rows = [np.arange(batch_size)[plan.rows(part, batch_size)] for part in range(split)]
    assert np.concatenate(rows).tolist() == list(range(batch_size))
    assert {len(part) for part in rows} <= {batch_size // split, -(-batch_size // split)}


def test_places_count_through_batches_and_parts():
    plan = StepPlan(accumulation=2, split=3)
    places = [plan.place(n) for n in range(12)]
    assert places == [(batch, part) for batch in range(4) for part in range(3)]


def test_a_window_that_is_left_out_is_stepped_over():
    plan = StepPlan(accumulation=2, left_out=(LeftOut(5, 3), LeftOut(9, 1)))
    assert [plan.data_step(step) for step in range(11)] == [0, 1, 2, 3, 4, 8, 9, 10, 11, 13, 14]
    assert [plan.place(n).batch for n in range(8, 14)] == [8, 9, 16, 17, 18, 19]


def test_the_data_of_parts_are_those_of_the_whole(image_folder):
    images = data(image_folder, batch_size=5)
    images.prepare_data()
    images.setup()
    whole = TrainBatches(images._opened.train, 5, True, 0)
    parts = MicroBatches(whole, StepPlan(1, 3))
    for k in range(4):
        assert torch.equal(torch.cat([parts[3 * k + part].images for part in range(3)]), whole[k].images)
        assert torch.equal(torch.cat([parts[3 * k + part].labels for part in range(3)]), whole[k].labels)


class Gradient(Callback):
    """The first step's gradient, before clipping."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 0:
            self.value = torch.cat([p.grad.flatten() for p in pl_module.parameters()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("accumulation", "split"), [(1, 2), (1, 5), (2, 3)])
def test_gradient_is_that_of_the_whole_batch(image_folder, tmp_path, kind, accumulation, split):
    """Equal up to the order of sums; label dropout, noise and levels are cut from the whole batch's."""

    def gradient(split: int) -> torch.Tensor:
        images, seen = data(image_folder, batch_size=5), Gradient()
        images.split = split
        micro = accumulation * split
        run = trainer(tmp_path / str(split), [seen], max_steps=1, accumulate_grad_batches=micro)
        model = randomize(module(kind, cond_dropout=0.5))
        run.fit(model, datamodule=images)
        return seen.value

    whole = gradient(1)
    torch.testing.assert_close(gradient(split), whole, rtol=1e-4, atol=1e-6 * whole.norm().item())


def test_a_run_in_parts_resumes_exactly(image_folder, tmp_path):
    def run(name: str, resume=None) -> None:
        train(tmp_path / name, image_folder, resume=resume, split=2, accumulate_grad_batches=2)

    run("one")
    run("other", path(tmp_path / "one", 3))
    assert first_difference(load(tmp_path / "one", 7), load(tmp_path / "other", 7)) is None


def test_parts_are_halved_down_to_single_images():
    recovery, sizes = Recovery(), []
    while recovery.split < 6:
        recovery = recovery.halved(6)
        sizes.append(recovery.split)
    assert sizes == [2, 4, 6]
    with pytest.raises(MemoryError, match=r"--trainer\.precision bf16-mixed"):
        recovery.halved(6)


def test_recovery_is_written_whole_and_read_back(tmp_path):
    assert Recovery.load(tmp_path) == Recovery()
    recovery = Recovery(4, (LeftOut(3, 2), LeftOut(9, 5)))
    recovery.save(tmp_path)
    assert Recovery.load(tmp_path) == recovery
    assert [path.name for path in tmp_path.iterdir()] == ["recovery.json"]


@pytest.mark.parametrize(
    ("split", "left_out"),
    [
        (0, []),
        (-1, []),
        (2**50, []),
        (1.5, []),
        (True, []),
        ("2", []),
        (1, [[-1, 2]]),
        (1, [[3, 0]]),
        (1, [[3, -2]]),
        (1, [[3, 10**18]]),
        (1, [[3, 2.5]]),
        (1, [[3]]),
        (1, 7),
    ],
)
def test_a_recovery_that_no_run_has_written_is_refused(tmp_path, split, left_out):
    (tmp_path / "recovery.json").write_text(json.dumps({"split": split, "left_out": left_out}))
    with pytest.raises(ValueError, match=r"recovery\.json "):
        Recovery.load(tmp_path)


def test_leaving_out_again_goes_on_behind_what_was_left_out_before():
    """Every window begins at the step that is gone back to, and ends behind the data of the bad step."""
    once = Recovery().without(back_to=10, bad_step=14)
    assert once.left_out == (LeftOut(10, 5),)
    twice = once.without(back_to=12, bad_step=20)
    plan = StepPlan(left_out=twice.left_out)
    assert plan.data_step(12) == StepPlan(left_out=once.left_out).data_step(20) + 1
    seen = [plan.data_step(step) for step in range(40)]
    assert seen == sorted(set(seen))
