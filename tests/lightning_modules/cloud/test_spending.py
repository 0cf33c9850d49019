from __future__ import annotations

import json
import logging
import time

import pytest

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.cloud.spending import Spending
from lightning_modules.cost.cost import Ledger
from lightning_modules.logs.run_logger import RunLogger
from lightning_modules.run.signals import StopRequestedError, StopSignals
from tests.helpers.tiny import data, fit, module


def train(tmp_path, image_folder, spending, steps):
    saver = StepCheckpoint(every_n_steps=100)
    run_logger = RunLogger(tmp_path / "experiment" / "run")
    with StopSignals() as signals:
        saver.signals = signals
        return fit(
            tmp_path,
            module(),
            data(image_folder),
            [spending, saver],
            max_steps=steps,
            logger=run_logger,
            log_every_n_steps=1,
        )


def checkpoints(tmp_path):
    return sorted(path.name for path in (tmp_path / "experiment/run/checkpoints").glob("step*.ckpt"))


def test_a_budget_that_is_used_up_stops_at_a_checkpoint(tmp_path, image_folder):
    ledger = Ledger(rate=1.0, device="L4", started=time.time() - 90)
    spending = Spending(ledger, max_usd=100.0, handover=1e9, reserve=30.0)
    with pytest.raises(StopRequestedError):
        train(tmp_path, image_folder, spending, steps=50)
    assert spending.stopped == "budget"
    assert checkpoints(tmp_path) == ["step=00000001.ckpt"]
    (entry,) = json.loads((tmp_path / "experiment/run/cost.json").read_text())["containers"]
    assert entry["device"] == "L4"
    assert entry["usd"] == entry["seconds"] >= 90


def test_earlier_containers_count_against_the_budget(tmp_path, image_folder):
    folder = tmp_path / "experiment" / "run"
    folder.mkdir(parents=True)
    Ledger(rate=1.0, device="T4", started=time.time() - 80).write(folder)
    spending = Spending(Ledger(1.0, "L4", time.time()), max_usd=100.0, handover=1e9, reserve=30.0)
    with pytest.raises(StopRequestedError):
        train(tmp_path, image_folder, spending, steps=50)
    assert spending.stopped == "budget"
    entries = json.loads((folder / "cost.json").read_text())["containers"]
    assert [entry["device"] for entry in entries] == ["T4", "L4"]


def test_a_container_whose_time_is_up_stops_at_a_checkpoint(tmp_path, image_folder):
    spending = Spending(Ledger(1.0, "L4", time.time() - 500), max_usd=None, handover=400.0)
    with pytest.raises(StopRequestedError):
        train(tmp_path, image_folder, spending, steps=50)
    assert spending.stopped == "time"
    assert checkpoints(tmp_path) == ["step=00000001.ckpt"]


def test_the_last_step_is_the_end_and_no_stop(tmp_path, image_folder):
    spending = Spending(Ledger(1.0, "L4", time.time() - 500), max_usd=1.0, handover=400.0)
    run = train(tmp_path, image_folder, spending, steps=1)
    assert run.global_step == 1
    assert spending.stopped is None


def test_what_is_left_is_told_once_steps_are_measured(tmp_path, image_folder, caplog):
    spending = Spending(Ledger(2.0, "L4", time.time()), max_usd=None, handover=1e9)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch"):
        train(tmp_path, image_folder, spending, steps=30)
    told = [record.getMessage() for record in caplog.records if "Measured" in record.getMessage()]
    assert len(told) == 1
    assert "9 steps" in told[0]
