"""Loader workers that fail in the middle of a run."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from lightning.pytorch import Callback

from datamodules.utils import workers
from datamodules.utils.exit_codes import RESUME
from lightning_modules.cli.fit import fit
from lightning_modules.run.signals import StopSignals
from tests.helpers.command_line import LIGHTNING_WARNINGS
from tests.helpers.resuming import At, latest, same_end

pytestmark = LIGHTNING_WARNINGS


class Signalled(Callback):
    """Send a signal to the workers between two batches."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        self.step, self.number = step, number

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            processes = [process for loader in trainer.datamodule._loaders for process in loader.processes]
            assert len(processes) >= 2
            for process in processes:
                os.kill(process.pid, self.number)


def test_a_run_whose_workers_are_killed_ends_as_any_other(args, tmp_path, straight, caplog):
    fit([*args, "--data.workers", "2"], [Signalled(3, signal.SIGKILL)])
    same_end(latest(tmp_path), straight)
    assert "SIGKILL" in caplog.text
    assert "--data.workers 0" in caplog.text


def test_a_run_whose_workers_hang_is_saved_when_asked_and_goes_on(
    args, tmp_path, straight, caplog, monkeypatch
):
    def asked_while_waiting(signals: StopSignals) -> bool:
        if signals.received is None:
            os.kill(os.getpid(), signal.SIGTERM)
        return signals.received is not None

    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "requested", asked_while_waiting)
        patch.setattr(workers, "_HURRIED_SILENCE_S", 0.1)
        with pytest.raises(SystemExit) as stop:
            fit([*args, "--data.workers", "2"], [Signalled(3, signal.SIGSTOP)])
    assert stop.value.code == RESUME
    assert "--data.workers 0" in caplog.text
    assert latest(tmp_path).checkpoint()["global_step"] in (3, 4, 5)  # some batches were there already
    fit([*args, "--data.workers", "2"])
    same_end(latest(tmp_path), straight)


@pytest.mark.parametrize("count", ["0", "1"])
def test_images_that_are_gone_end_the_run_with_a_line(args, cats, tmp_path, capsys, count):
    folder = tmp_path / "own"
    shutil.copytree(cats, folder)
    gone = At(3, lambda: shutil.rmtree(folder))
    options = ["--data.cache", "false", "--data.root", str(folder), "--data.workers", count]
    with pytest.raises(SystemExit) as stop:
        fit([*args, *options], [gone])
    assert str(folder) in str(stop.value.code)
    assert "\n" not in str(stop.value.code)
