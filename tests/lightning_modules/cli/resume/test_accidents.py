"""Memory that runs out and steps that do harm: what a run learns from them."""

from __future__ import annotations

import json
import re

import pytest
import torch
from lightning.pytorch import Callback

from lightning_modules.cli.fit import fit
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run
from tests.helpers.resuming import At, CrashError, crash, latest, same_end

pytestmark = LIGHTNING_WARNINGS


def no_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


class Limit(Callback):
    """Memory for so many images at a time, from a step on."""

    def __init__(self, images: int, step: int = 0) -> None:
        self.images, self.step = images, step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.size = len(batch.images)

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step >= self.step and self.size > self.images:
            no_memory()


class Sizes(Callback):
    """Images per micro-batch, by step."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.setdefault(trainer.global_step, []).append(len(batch.images))


def test_out_of_memory_halves_the_parts_and_loses_no_step(args, tmp_path, straight, caplog):
    sizes = Sizes()
    fit(args, [Limit(1, step=3), sizes])
    run = latest(tmp_path)
    assert json.loads((run.folder / "recovery.json").read_text())["split"] == 4
    assert [sizes.seen[step][-4:] for step in range(3, 8)] == [[1, 1, 1, 1]] * 5
    assert sizes.seen[0] == [4]  # nothing is trained twice
    assert sizes.seen[2] == [4]
    assert re.search(r"memory.*\b3\b.*\b4\b.*\b2\b", caplog.text)
    for name, weight in straight.checkpoint()["current_model_state"].items():
        torch.testing.assert_close(
            run.checkpoint()["current_model_state"][name], weight, rtol=1e-3, atol=1e-4
        )
    assert sorted(run.scalars("images_seen").values()) == [4.0 * step for step in range(1, 9)]


def test_what_fits_is_remembered(args, tmp_path):
    with pytest.raises(CrashError):
        fit(args, [Limit(2), At(3, crash)])
    sizes = Sizes()
    fit(args, [sizes])
    assert sizes.seen[2] == [2, 2]


def test_a_single_image_that_does_not_fit_is_the_end(args, tmp_path):
    with pytest.raises(SystemExit) as stop:
        fit(args, [Limit(0)])
    assert "--trainer.precision bf16-mixed" in str(stop.value.code)


class Spoil(Callback):
    """Losses that no weights explain, wherever the data of some steps come."""

    def __init__(self, batches: range) -> None:
        self.batches = batches

    def on_before_backward(self, trainer, pl_module, loss):
        if pl_module.plan.data_step(trainer.global_step) in self.batches:
            loss.data.fill_(float("nan"))


def test_a_run_of_bad_steps_goes_back_and_leaves_their_data_out(args, tmp_path, caplog):
    guarded = [*args, "--spike_guard.patience", "2"]
    fit(guarded, [Spoil(range(4, 7))])
    run = latest(tmp_path)
    assert json.loads((run.folder / "recovery.json").read_text())["left_out"] == [[4, 2]]
    assert re.search(r"step 5\b.*\b2\b.*\bnan\b", caplog.text)
    assert run.checkpoint()["global_step"] == 8
    assert sorted(run.scalars("loss")) == list(range(1, 9))
    # Killed and continued behind the window, it ends the same.
    other = [*guarded, "--run", "other"]
    with pytest.raises(CrashError):
        fit(other, [Spoil(range(4, 7)), At(7, crash)])
    fit(other, [Spoil(range(4, 7))])
    same_end(Run(tmp_path / "runs" / "demo" / "other"), run)


class SpoilAfter(Callback):
    """Losses that are no numbers from a step on, in attempts that begin at a checkpoint of bad weights."""

    def __init__(self, checkpoint: int) -> None:
        self.checkpoint = checkpoint
        self.damaged = True

    def on_train_start(self, trainer, pl_module):
        self.damaged = trainer.global_step in (0, self.checkpoint)

    def on_before_backward(self, trainer, pl_module, loss):
        if self.damaged and trainer.global_step >= self.checkpoint:
            loss.data.fill_(float("nan"))


def test_a_checkpoint_that_did_not_help_is_set_aside_for_the_one_before(args, tmp_path):
    fit([*args, "--spike_guard.patience", "2"], [SpoilAfter(4)])
    run = latest(tmp_path)
    assert run.checkpoint()["global_step"] == 8
    assert (run.folder / "checkpoints" / "step=00000004.ckpt.corrupt").exists()
    left_out = json.loads((run.folder / "recovery.json").read_text())["left_out"]
    assert [window[0] for window in left_out] == [4, 2]


def test_it_goes_back_only_so_often(args, tmp_path):
    guarded = [*args, "--spike_guard.patience", "2", "--spike_guard.max_roll_backs", "2"]
    with pytest.raises(SystemExit) as stop:
        fit(guarded, [Spoil(range(4, 10**6))])
    assert "--spike_guard.max_roll_backs" in str(stop.value.code)
