from __future__ import annotations

import csv
import logging
import os
from pathlib import Path

import pytest
import torch

from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.telemetry import Telemetry
from lightning_modules.logs.metrics_file import MetricsFile
from lightning_modules.logs.metrics_table import read_metrics
from tests.helpers.tiny import data, fit, module


def log(folder: Path, first: int, last: int, resumed: int = 0, **more: float) -> MetricsFile:
    """A process that takes the steps `first` to `last`, and measures something after every second one."""
    logger = MetricsFile(folder, resumed)
    take(logger, first, last, **more)
    return logger


def take(logger: MetricsFile, first: int, last: int, **more: float) -> None:
    for step in range(first, last + 1):
        logger.log_metrics({"loss": 1 / step, "epoch": 0}, step - 1)
        logger.save()
        if step % 2 == 0:
            logger.log_metrics({"loss/val": 2 / step, **more}, step - 1)
            logger.save()


def content(folder: Path) -> str:
    return (folder / "metrics.csv").read_text()


def test_a_row_a_step_and_a_column_a_scalar(tmp_path):
    log(tmp_path, 1, 3)
    assert content(tmp_path) == "step,loss,loss/val\n1,1.0,\n2,0.5,1.0\n3,0.3333333333333333,\n"


def test_groups_stand_behind_single_names_and_numbers_in_their_order(tmp_path):
    logger = MetricsFile(tmp_path)
    logger.log_metrics({"b_10/x": 1.0, "b_2/x": 1.0, "z": 1.0, "a": 1.0}, 0)
    logger.save()
    assert content(tmp_path).splitlines()[0] == "step,a,z,b_2/x,b_10/x"


def test_values_come_back_to_the_bit(tmp_path):
    values = [0.1, 1e-300, float(torch.tensor(1 / 3)), float("inf"), float("nan")]
    logger = MetricsFile(tmp_path)
    for step, value in enumerate(values):
        logger.log_metrics({"x": value}, step)
    logger.save()
    read = read_metrics(tmp_path / "metrics.csv")["x"]
    assert [step for step, _ in read] == [1, 2, 3, 4, 5]
    assert repr([value for _, value in read]) == repr(values)


def test_names_may_hold_what_the_format_uses(tmp_path):
    logger = MetricsFile(tmp_path)
    logger.log_metrics({'a,"b"': 1.0}, 0)
    logger.save()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["step", 'a,"b"']
    assert read_metrics(tmp_path / "metrics.csv") == {'a,"b"': [(1, 1.0)]}


@pytest.mark.parametrize("resumed", range(8))
@pytest.mark.parametrize("died", range(8))
def test_killed_and_continued_it_is_the_file_of_a_run_that_was_not(tmp_path, resumed, died):
    """From every checkpoint, after any number of further steps; a later column goes with its rows."""
    late = {"kid": 3.0} if resumed < 2 else {}  # measured by the killed process only
    log(tmp_path / "straight", 1, 9)
    log(tmp_path / "killed", 1, max(died, resumed), **late)
    log(tmp_path / "killed", resumed + 1, 9, resumed)
    assert content(tmp_path / "killed") == content(tmp_path / "straight")


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_a_kill_has_cut_is_no_row(tmp_path, cut):
    log(tmp_path, 1, 4)
    whole = content(tmp_path)
    (tmp_path / "metrics.csv").write_text(whole[:-cut])
    assert len(read_metrics(tmp_path / "metrics.csv")["loss"]) == 3
    log(tmp_path, 4, 4, 3)
    assert content(tmp_path) == whole


@pytest.mark.parametrize("tail", [b"5,0.1", b"5\n", b"\0\0\0\0", b"\xff\xfe\n", b"x,1,2\n", b"5,a,b\n"])
def test_what_is_no_row_is_taken_away(tmp_path, tail):
    log(tmp_path, 1, 4)
    whole = content(tmp_path)
    with (tmp_path / "metrics.csv").open("ab") as file:
        file.write(tail)
    log(tmp_path, 5, 5, 4)
    assert content(tmp_path) == whole + "5,0.2,\n"


def test_a_process_that_logs_nothing_takes_rows_back_only_at_its_end(tmp_path):
    log(tmp_path, 1, 4)
    before = content(tmp_path)
    failed = MetricsFile(tmp_path, 2)
    failed.finalize("failed")
    assert content(tmp_path) == before
    MetricsFile(tmp_path, 2).finalize("success")
    assert content(tmp_path) == "step,loss,loss/val\n1,1.0,\n2,0.5,1.0\n"


def test_a_disk_that_refuses_is_not_an_end_and_nothing_is_missing_afterwards(tmp_path, caplog, monkeypatch):
    log(tmp_path / "straight", 1, 9)
    logger = log(tmp_path / "run", 1, 3)
    with monkeypatch.context() as full, caplog.at_level(logging.ERROR):
        full.setattr(Path, "open", refuse)
        take(logger, 4, 6)
    assert [str(tmp_path / "run" / "metrics.csv") in each.getMessage() for each in caplog.records] == [True]
    take(logger, 7, 9)
    assert content(tmp_path / "run") == content(tmp_path / "straight")


def refuse(*_: object, **__: object) -> None:
    raise OSError(28, os.strerror(28))


def test_it_gets_what_tensorboard_gets_but_epochs(image_folder, tmp_path):
    """Scalars of the module and of callbacks, all at the number of steps taken."""
    logger = MetricsFile(tmp_path)
    options = {"max_steps": 4, "val_check_interval": 2, "log_every_n_steps": 1, "logger": logger}
    fit(tmp_path, module(), data(image_folder), [Telemetry(), LossByNoiseLevel((0.1, 1.0))], **options)
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert "epoch" not in metrics
    assert [step for step, _ in metrics["loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in metrics["loss/val"]] == [2, 4]
    for name in ("val", "identity", "constant"):
        assert [step for step, _ in metrics[f"error_sigma_0.1_to_1/{name}"]] == [2, 4]
    assert {"throughput/images_per_second", "images_seen", "gradient_norm"} <= metrics.keys()
