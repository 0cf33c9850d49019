"""The same command again, after a signal, an error, a kill, or damage to what was saved."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from datamodules.utils.exit_codes import RESUME
from datamodules.utils.stop_signals import STOPPING
from lightning_modules.cli.fit import fit
from tests.helpers.command_line import LIGHTNING_WARNINGS
from tests.helpers.resuming import At, CrashError, child, contents, crash, latest, runs, same_end, stopped_at

pytestmark = LIGHTNING_WARNINGS


@pytest.mark.parametrize("number", STOPPING, ids=lambda n: n.name)
def test_a_signal_finishes_the_step_saves_and_the_same_command_goes_on(args, tmp_path, straight, number):
    before = signal.getsignal(number)
    assert stopped_at(3, args, number) == RESUME
    assert signal.getsignal(number) == before
    assert latest(tmp_path).checkpoint()["global_step"] == 4
    assert stopped_at(4, args, number) == RESUME
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
    for tag in ("loss", "learning_rate", "loss/val", "images_seen"):
        assert run.scalars(tag) == straight.scalars(tag), tag


def test_a_killed_process_is_continued(args, tmp_path, straight):
    with child("SIGKILL", 5, args) as process:
        process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert latest(tmp_path).checkpoint()["global_step"] == 4
    fit(args)
    same_end(latest(tmp_path), straight)


@pytest.mark.slow
def test_a_second_signal_stops_at_once(args, tmp_path):
    with child("insist:SIGTERM", 3, args) as process:
        _, error = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM, error
    assert "SIGTERM: " in error
    assert latest(tmp_path).checkpoint()["global_step"] == 2


def test_one_request_that_arrives_twice_is_one(args, tmp_path):
    """`timeout` signals its child and then the child's group, as shells do for a closed terminal."""
    with pytest.raises(SystemExit) as stop:
        fit(args, [At(3, lambda: [signal.raise_signal(signal.SIGTERM) for _ in range(3)])])
    assert stop.value.code == RESUME
    assert latest(tmp_path).checkpoint()["global_step"] == 4


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["nohup", "a background job"])
def test_what_is_ignored_from_the_beginning_stays_ignored(args, tmp_path, straight, number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        fit(args, [At(3, lambda: os.kill(os.getpid(), number))])
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
    same_end(latest(tmp_path), straight)


class Signalled(At):
    """Look at what Lightning takes its surroundings for."""

    def on_train_start(self, trainer, pl_module):
        self.environment = type(trainer._accelerator_connector.cluster_environment).__name__


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM], ids=lambda n: n.name)
def test_a_batch_system_is_heard_here_and_not_by_lightning(args, tmp_path, straight, monkeypatch, number):
    """Under SLURM, Lightning would save in the handler, elsewhere, and ask for the job to be put back."""
    for name, value in {"NTASKS": "1", "JOB_NAME": "train", "JOB_ID": "7", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("LOCALID", "NODEID"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    signalled = Signalled(3, lambda: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as stop:
        fit(args, [signalled])
    assert signalled.environment == "SLURMEnvironment"
    assert stop.value.code == RESUME
    assert latest(tmp_path).checkpoint()["global_step"] == 4
    assert not list(tmp_path.rglob("hpc_ckpt*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_the_whole_group_leaves_the_workers_at_work(args, tmp_path, number):
    """As Ctrl-C in a terminal and as service managers do it."""
    with child(f"group:{number}", 3, [*args, "--data.workers", "2"], start_new_session=True) as process:
        _, error = process.communicate(timeout=300)
    assert process.returncode == RESUME, error
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
    assert re.search(r"\bstep 8\b.*--trainer\.max_steps", caplog.text)
    (latest(tmp_path).folder / ".loss.png.1.tmp").touch()  # by a kill after the last checkpoint
    fit(args)
    assert contents(tmp_path / "runs") == before


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
    assert re.search(r"step=00000004\.ckpt.*step=00000002\.ckpt", caplog.text)
    same_end(latest(tmp_path), straight)


def test_all_checkpoints_damaged_begins_again(args, tmp_path, straight):
    with pytest.raises(CrashError):
        fit(args, [At(5, crash)])
    for path in (latest(tmp_path).folder / "checkpoints").glob("step=*.ckpt"):
        damage(path, "empty")
    fit(args)
    assert len(runs(tmp_path)) == 1
    same_end(latest(tmp_path), straight)
