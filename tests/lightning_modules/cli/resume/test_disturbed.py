"""What disturbs a run elsewhere than in a step: a full disk, a signal beside the steps, damaged files."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from lightning.pytorch import Callback

from datamodules.utils.exit_codes import RESUME
from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.checkpoints.names import step_of
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.cli.fit import fit
from lightning_modules.run.directory import RunDirectory
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, options, refusal
from tests.helpers.resuming import CHILD, latest, same_end

pytestmark = LIGHTNING_WARNINGS


class On(Callback):
    """Do something, once, in a hook that takes no more than trainer and module."""

    def __init__(self, hook: str, do: Callable[[], object]) -> None:
        self.do: Callable[[], object] | None = do
        setattr(self, hook, self._once)

    def _once(self, *_: object) -> None:
        do, self.do = self.do, None
        if do is not None:
            do()


def steps(run: Run) -> list[int]:
    return [step_of(path) for path in checkpoints_in(run.folder / "checkpoints")]


def status_of(args: list[str], *callbacks: Callback) -> object:
    with pytest.raises(SystemExit) as stop:
        fit(args, callbacks)
    return stop.value.code


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


# A full disk


@pytest.mark.slow
@pytest.mark.parametrize(("on_error", "last_tried"), [("continue", 8), ("stop", 4)])
@pytest.mark.parametrize("asynchronous", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_full_disk_loses_nothing_that_was_written(
    args, tmp_path, straight, on_error, last_tried, asynchronous
):
    """No file may grow beyond 2 KiB from step 3 on: no checkpoint, no picture, no event."""
    how = options({"checkpoint.on_error": on_error, "checkpoint.asynchronous": asynchronous})
    result = subprocess.run(
        [sys.executable, str(CHILD), "disk:2048", "3", *args, *how],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    said = [line for line in result.stderr.splitlines() if re.match(r"error: .*step=\d+\.ckpt", line)]
    assert len(said) == 1, result.stderr
    if not asynchronous:  # which notices an error at the next save
        assert f"step={last_tried:08d}.ckpt: {os.strerror(errno.EFBIG)}" in said[0]
    run = latest(tmp_path)
    assert steps(run) == [2]
    assert run.checkpoint()["global_step"] == 2
    assert not list((run.folder / "checkpoints").glob(".*"))
    fit(args)
    same_end(latest(tmp_path), straight)


def test_a_save_that_failed_on_the_way_does_not_spoil_the_end(args, tmp_path, monkeypatch, caplog):
    """Asynchronously, the error of step 6 comes to light when step 8 is saved, which succeeds."""
    fail_at(monkeypatch, {6})
    fit([*args, "--checkpoint.asynchronous", "true"])
    assert "step=00000006.ckpt" in caplog.text
    assert steps(latest(tmp_path))[-1] == 8


@pytest.mark.parametrize("asynchronous", ["false", "true"])
def test_a_stop_that_cannot_be_saved_is_an_error(args, tmp_path, monkeypatch, asynchronous):
    """Status 75 says that the step is on the disk."""
    fail_at(monkeypatch, {3})
    status = status_of([*args, "--checkpoint.asynchronous", asynchronous], Stop(2))
    assert "step=00000003.ckpt" in str(status)
    assert latest(tmp_path).checkpoint()["global_step"] == 2


class Stop(Callback):
    """SIGTERM in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == self.step:
            terminate()


def fail_at(monkeypatch: pytest.MonkeyPatch, failing: set[int]) -> None:
    """Let the disk refuse the checkpoints of some steps."""
    from lightning_modules.checkpoints import checkpoint_io
    from lightning_modules.checkpoints.errors import write_error
    from lightning_modules.checkpoints.names import step_of
    from lightning_modules.checkpoints.whole import write_whole

    def failing_write(path, write, size=None):
        if step_of(path) in failing:
            raise write_error(path, OSError(errno.ENOSPC, "full"))
        return write_whole(path, write, size)

    monkeypatch.setattr(checkpoint_io, "write_whole", failing_write)


def test_a_run_directory_that_cannot_be_written_is_said(args, tmp_path, monkeypatch):
    def full(self: RunDirectory) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(RunDirectory, "start", full)
    assert os.strerror(errno.ENOSPC) in str(status_of(args))
    monkeypatch.undo()


# Signals beside the steps


@pytest.mark.parametrize("hook", ["on_validation_batch_end", "on_fit_start"])
def test_sigterm_before_training_stops_it_at_the_first_step(args, tmp_path, straight, hook):
    """Also in a sanity validation of several batches, where Lightning would exit with status 0."""
    several = [*args, "--trainer.num_sanity_val_steps", "2", "--data.batch_size", "2"]
    assert status_of(several, On(hook, terminate)) == RESUME
    assert steps(latest(tmp_path)) == []
    fit(several)
    assert steps(latest(tmp_path))[-1] == 8


def test_sigterm_while_the_last_checkpoint_is_written_finishes_the_run(args, tmp_path, straight):
    assert fit(args, [On("on_train_epoch_end", terminate)]).trainer.global_step == 8
    same_end(latest(tmp_path), straight)


def test_sigterm_while_a_checkpoint_is_written_saves_it_once(args, tmp_path, monkeypatch, straight):
    publish, published = StepCheckpoint._publish, []

    def publishing(self, path):
        published.append(path.name)
        if path.name == "step=00000004.ckpt":
            terminate()
        publish(self, path)

    monkeypatch.setattr(StepCheckpoint, "_publish", publishing)
    assert status_of(args) == RESUME
    assert published == ["step=00000002.ckpt", "step=00000004.ckpt", "step=00000005.ckpt"]
    fit(args)
    same_end(latest(tmp_path), straight)


# When checkpoints are due, and which are best


def test_checkpoints_by_the_clock(args, tmp_path):
    """A millisecond has always passed: every step is saved."""
    clock = {"checkpoint.every_n_steps": 1000, "checkpoint.every_n_minutes": 1e-7, "checkpoint.keep_last": 99}
    fit([*args, *options(clock)])
    assert steps(latest(tmp_path)) == list(range(1, 9))


def test_a_score_that_was_measured_before_a_stop_is_kept(args, tmp_path):
    """The signal comes in the step that a validation follows."""
    best = [*args, *options({"checkpoint.keep_best": 1, "checkpoint.every_n_steps": 100})]
    assert status_of(best, Stop(1)) == RESUME
    callbacks = latest(tmp_path).checkpoint()["callbacks"]
    assert list(callbacks["StepCheckpoint"]["scores"]) == [2]


# The run directory's own files


@pytest.mark.parametrize("name", ["manifest.json", "recovery.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"split": 1, "left_out": [3]}'])
def test_a_damaged_file_is_named_and_nothing_changed(args, tmp_path, capsys, name, content):
    status_of(args, Stop(2))
    path = latest(tmp_path).folder / name
    path.write_text(content)
    before = sorted(tmp_path.joinpath("runs").rglob("*"))
    status, message = refusal(args, capsys)
    assert status == 2
    assert f"error: {path} " in message
    assert path.read_text() == content
    assert sorted(tmp_path.joinpath("runs").rglob("*")) == before


@pytest.mark.parametrize("lost", ["config.yaml", "manifest.json", "checkpoints"])
def test_a_run_whose_beginning_was_cut_off_is_begun(args, tmp_path, straight, lost):
    folder = tmp_path / "runs" / "demo" / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    if lost == "checkpoints":
        (folder / "checkpoints").rmdir()
    else:
        (folder / lost).with_name(f".{lost}.77.tmp").write_text("{")
    fit([*args, "--run", "mine"])
    same_end(Run(folder), straight)
    assert (folder / "manifest.json").is_file()


def test_a_run_without_its_manifest_is_continued_with_a_warning(args, tmp_path, straight, caplog):
    status_of(args, Stop(2))
    run = latest(tmp_path)
    (run.folder / "manifest.json").unlink()
    fit(args)
    assert "manifest.json" in caplog.text
    same_end(run, straight)


# Names


def test_the_run_called_latest_is_the_newest(args, tmp_path, straight):
    status_of(args, Stop(2))
    fit([*args, "--run", "latest"])
    assert len(list((tmp_path / "runs" / "demo").iterdir())) == 2
    same_end(latest(tmp_path), straight)


@pytest.mark.parametrize("name", ["latest", "..", ".", "a/b", "/tmp"])
def test_what_names_no_run_is_refused(args, tmp_path, capsys, name):
    status, message = refusal([*args, "--run", name], capsys)
    assert status == 2
    assert "--run" in message
    assert not (tmp_path / "runs").exists()


def test_a_run_that_another_process_has_just_begun_is_left_to_it(args, tmp_path, capsys, monkeypatch):
    def taken(self: RunDirectory) -> None:
        raise FileExistsError

    monkeypatch.setattr(RunDirectory, "start", taken)
    status, message = refusal(args, capsys)
    assert status == 2
    assert "same second" in message


# Settings that may change


def test_more_roll_backs_are_no_mismatch(args, tmp_path):
    status_of(args, Stop(2))
    fit([*args, "--spike_guard.max_roll_backs", "9"])
    assert latest(tmp_path).checkpoint()["global_step"] == 8


def test_a_target_raised_in_the_cooldown_is_said(args, tmp_path, caplog):
    falling = [*args, "--learning_rate.cool_down", "4"]
    fit(falling)
    assert "learning rate" not in caplog.text
    fit([*falling, "--trainer.max_steps", "14"])
    assert re.search(r"\b4 to 7\b.*learning rate.*\b100 %.*\bstep 10\b", caplog.text)


def test_without_a_logger_pictures_metrics_and_checkpoints_lie_in_the_run_directory(args, tmp_path):
    fit([*args, "--trainer.logger", "false"])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["demo"]
    run = latest(tmp_path).folder
    assert (run / "samples" / "step=00000008.png").is_file()
    assert steps(latest(tmp_path))[-1] == 8
    # The metrics and their picture do not need one either.
    assert (run / "metrics.csv").read_text().splitlines()[-1].startswith("8,")
    assert (run / "loss.png").is_file()
