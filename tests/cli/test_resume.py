"""The same command again: what it continues, what it refuses, and what a killed process leaves to it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import LIGHTNING_WARNINGS, Run, options, refusal
from lightning.pytorch import Callback

from lightning_modules.resume.signals import RESUME_STATUS
from lightning_modules.training import fit

pytestmark = LIGHTNING_WARNINGS

CHILD = Path(__file__).with_name("child.py")


class At(Callback):
    """Do something in the middle of a step."""

    def __init__(self, step: int, do: Any) -> None:
        self.step, self.do = step, do

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == self.step:
            self.do()


class CrashError(Exception):
    """What a bug, a full disk or a lost connection raises."""


def crash() -> None:
    raise CrashError


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that start within the same second have names of their own."""
    seconds = count()
    monkeypatch.setattr("lightning_modules.runs.run_name", lambda: f"2026-01-01T00-00-{next(seconds):02}Z")


@pytest.fixture
def args(args: list[str]) -> list[str]:
    """Eight steps, a checkpoint every two."""
    return [*args, "--trainer.max_steps", "8", "--progress_bar.refresh_rate", "0"]


def runs(tmp_path: Path, experiment: str = "demo") -> list[str]:
    folder = tmp_path / "runs" / experiment
    return sorted(path.name for path in folder.iterdir() if path.name != "latest")


def latest(tmp_path: Path) -> Run:
    return Run((tmp_path / "runs" / "demo" / "latest").resolve())


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.lstat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def stopped_at(step: int, args: list[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Train until a real signal comes in the middle of a step; return the exit status."""
    with pytest.raises(SystemExit) as stop:
        fit(args, [At(step, lambda: os.kill(os.getpid(), number))])
    return int(stop.value.code or 0)


def child(what: str, step: int, args: list[str], **settings: Any) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, str(CHILD), what, str(step), *args]
    return subprocess.Popen(command, text=True, **pipes, **settings)


def same_end(one: Run, other: Run) -> None:
    first, second = one.checkpoint(), other.checkpoint()
    for part in ("state_dict", "current_model_state"):
        for name, weight in first[part].items():
            assert torch.equal(weight, second[part][name]), name
    assert one.scalars("loss") == other.scalars("loss")


@pytest.fixture(scope="module")
def straight(cats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nothing happens to."""
    from command_line import tiny

    folder = tmp_path_factory.mktemp("straight")
    fit([*tiny(cats, folder), "--trainer.max_steps", "8", "--progress_bar.refresh_rate", "0"])
    return Run((folder / "runs" / "demo" / "latest").resolve())


# Continuing


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_finishes_the_step_saves_and_the_same_command_goes_on(args, tmp_path, straight, number):
    before = signal.getsignal(number)
    assert stopped_at(3, args, number) == RESUME_STATUS == 75
    assert signal.getsignal(number) == before
    assert latest(tmp_path).checkpoint()["global_step"] == 4
    assert stopped_at(4, args, number) == RESUME_STATUS
    assert latest(tmp_path).checkpoint()["global_step"] == 5
    fit(args)
    assert len(runs(tmp_path)) == 1
    same_end(latest(tmp_path), straight)
    assert sorted(latest(tmp_path).scalars("loss")) == list(range(1, 9))


def test_an_error_loses_the_steps_since_the_last_checkpoint(args, tmp_path, straight):
    with pytest.raises(CrashError):
        fit(args, [At(5, crash)])
    assert latest(tmp_path).checkpoint()["global_step"] == 4
    fit(args)
    same_end(latest(tmp_path), straight)


def test_the_axis_has_neither_gap_nor_overlap(args, tmp_path, straight):
    """What was logged after the last checkpoint is taken back and logged again."""
    for step in (1, 5, 7):
        with pytest.raises(CrashError):
            fit(args, [At(step, crash)])
    fit(args)
    run = latest(tmp_path)
    for tag in ("loss", "learning_rate", "loss_held_out", "images_seen"):
        assert run.scalars(tag) == straight.scalars(tag), tag


def test_a_killed_process_is_continued(args, tmp_path, straight):
    with child("SIGKILL", 5, args) as process:
        process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert latest(tmp_path).checkpoint()["global_step"] == 4
    fit(args)
    same_end(latest(tmp_path), straight)


def test_a_second_signal_stops_at_once(args, tmp_path):
    with child("twice:SIGTERM", 3, args) as process:
        _, error = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM, error
    assert "SIGTERM: finishing this step and saving; once more stops at once." in error
    assert latest(tmp_path).checkpoint()["global_step"] == 2


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_leaves_the_workers_at_work(args, tmp_path, number):
    """As Ctrl-C in a terminal and as service managers do it."""
    with child(f"group:{number}", 3, [*args, "--data.workers", "2"], start_new_session=True) as process:
        _, error = process.communicate(timeout=300)
    assert process.returncode == RESUME_STATUS, error
    assert latest(tmp_path).checkpoint()["global_step"] == 4


def test_a_raised_target_goes_on(args, tmp_path, straight):
    fit([*args, "--trainer.max_steps", "4"])
    fit(args)
    assert len(runs(tmp_path)) == 1
    assert latest(tmp_path).config["trainer"]["max_steps"] == 8
    same_end(latest(tmp_path), straight)


def test_a_finished_run_is_left_alone_to_the_byte(args, tmp_path, caplog):
    fit(args)
    before = contents(tmp_path / "runs")
    with caplog.at_level("INFO"):
        fit(args)
    assert contents(tmp_path / "runs") == before
    assert "has reached its target, step 8: nothing to do" in caplog.text


# Which run


def test_fresh_starts_another(args, tmp_path):
    stopped_at(3, args)
    fit([*args, "--fresh"])
    assert len(runs(tmp_path)) == 2
    assert latest(tmp_path).folder.name == runs(tmp_path)[1]
    assert latest(tmp_path).config["fresh"] is False


def test_a_run_is_started_and_continued_by_its_name(args, tmp_path, straight):
    named = [*args, "--run", "mine"]
    stopped_at(3, named)
    fit([*args, "--fresh", "--trainer.max_steps", "2"])
    fit(named)
    assert runs(tmp_path)[1:] == ["mine"]
    same_end(Run(tmp_path / "runs" / "demo" / "mine"), straight)


def test_fresh_and_a_name_exclude_each_other(args, capsys):
    status, message = refusal([*args, "--fresh", "--run", "mine"], capsys)
    assert status == 2
    assert "give one of them" in message


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model.width": 64}, "model.init_args.width: 32 in the run, 64 now"),
        ({"seed_everything": 1}, "seed_everything: 0 in the run, 1 now"),
        ({"data.batch_size": 2}, "data.batch_size: 4 in the run, 2 now"),
        ({"model.optimizer.learning_rate": 0.5}, "learning_rate: 0.001 in the run, 0.5 now"),
        ({"data.held_out": 0.2}, "data.held_out: 0.3 in the run, 0.2 now"),
        ({"trainer.accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches: 1 in the run, 2 now"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_identity_is_refused_line_by_line(args, tmp_path, capsys, change, line):
    stopped_at(1, args)
    before = contents(tmp_path / "runs")
    status, message = refusal([*args, *options(change)], capsys)
    assert status == 2
    assert line in message
    assert message.count(" in the run, ") == 1
    assert "--fresh" in message
    assert "--allow-mismatch" in message
    assert contents(tmp_path / "runs") == before


def test_other_images_are_another_identity(args, cats, tmp_path, capsys):
    stopped_at(1, args)
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", cats, moved], check=True)
    args = [*args, "--data.root", str(moved)]
    stopped_at(2, args)  # the same images elsewhere are the same
    next(moved.rglob("*.png")).unlink()
    status, message = refusal(args, capsys)
    assert status == 2
    assert "data.fingerprint" in message


def test_a_mismatch_can_be_allowed(args, tmp_path, caplog):
    stopped_at(3, args)
    fit([*args, "--model.optimizer.weight_decay", "0.5", "--allow-mismatch"])
    assert len(runs(tmp_path)) == 1
    assert latest(tmp_path).checkpoint()["global_step"] == 8
    assert "weight_decay: 0.01 in the run, 0.5 now" in caplog.text


def test_what_only_watches_is_no_mismatch(args, tmp_path, straight):
    stopped_at(3, args)
    watching = {"data.workers": 1, "trainer.val_check_interval": 4, "sample_grid.every_n_steps": 3}
    fit([*args, *options(watching), "--trainer.log_every_n_steps", "2"])
    first, second = straight.checkpoint(), latest(tmp_path).checkpoint()
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())


@pytest.mark.parametrize("step", [0, None], ids=["no checkpoint yet", "finished"])
def test_with_nothing_to_lose_another_identity_starts_another_run(args, tmp_path, step):
    if step is None:
        fit(args)
    else:
        with pytest.raises(CrashError):
            fit(args, [At(step, crash)])
    fit([*args, "--seed_everything", "5"])
    assert len(runs(tmp_path)) == 2


# Damage


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes({"truncated": content[:middle], "empty": b"", "one bit": flipped}[how])


@pytest.mark.parametrize("how", ["truncated", "empty", "one bit"])
def test_a_damaged_newest_checkpoint_is_set_aside(args, tmp_path, straight, caplog, how):
    with pytest.raises(CrashError):
        fit(args, [At(5, crash)])
    folder = latest(tmp_path).folder / "checkpoints"
    damage(folder / "step=00000004.ckpt", how)
    fit(args)
    assert (folder / "step=00000004.ckpt.corrupt").exists()
    assert "step=00000004.ckpt is damaged" in caplog.text
    assert "step=00000002.ckpt, the newest whole one, is used" in caplog.text
    same_end(latest(tmp_path), straight)


def test_all_checkpoints_damaged_begins_again(args, tmp_path, straight):
    with pytest.raises(CrashError):
        fit(args, [At(5, crash)])
    for path in (latest(tmp_path).folder / "checkpoints").glob("step=*.ckpt"):
        damage(path, "empty")
    fit(args)
    assert len(runs(tmp_path)) == 1
    same_end(latest(tmp_path), straight)


# The lock


def test_a_second_process_is_refused_until_the_first_is_gone(args, tmp_path, capsys):
    with child("pause", 3, args) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
        try:
            status, message = refusal(args, capsys)
            assert status == 2
            assert f"process {process.pid} is training in" in message
        finally:
            process.kill()
    fit(args)
    assert len(runs(tmp_path)) == 1
    assert latest(tmp_path).checkpoint()["global_step"] == 8


# Accidents


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
    assert "Out of memory at step 3. A batch of 4 is computed in 2 parts" in caplog.text
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
    assert "out of memory with a single image at a time" in str(stop.value.code)


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
    assert "At step 5 2 steps in a row were not taken, the last since the loss is nan" in caplog.text
    assert run.checkpoint()["global_step"] == 8
    assert sorted(run.scalars("loss")) == list(range(1, 9))
    # Killed and continued behind the window, it ends the same.
    other = [*guarded, "--run", "other"]
    with pytest.raises(CrashError):
        fit(other, [Spoil(range(4, 7)), At(7, crash)])
    fit(other, [Spoil(range(4, 7))])
    same_end(Run(tmp_path / "runs" / "demo" / "other"), run)


class SpoilAfter(Callback):
    """Losses that are no numbers from a step on, in attempts that begin at a checkpoint of spoilt weights."""

    def __init__(self, checkpoint: int) -> None:
        self.checkpoint = checkpoint
        self.spoilt = True

    def on_train_start(self, trainer, pl_module):
        self.spoilt = trainer.global_step in (0, self.checkpoint)

    def on_before_backward(self, trainer, pl_module, loss):
        if self.spoilt and trainer.global_step >= self.checkpoint:
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
    assert "the run has gone back 2 times already. Look at the data" in str(stop.value.code)
