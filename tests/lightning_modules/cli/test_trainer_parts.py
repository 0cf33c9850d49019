"""Lightning's bars, loggers and monitors, asked for on the command line, beside what is always there."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import CSVLogger

from lightning_modules.cli.fit import fit
from lightning_modules.cli.parsing.trainer_parts import RUN, with_trainer_parts
from lightning_modules.logs.metrics_file import MetricsFile
from lightning_modules.logs.run_logger import RunLogger
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, refusal

pytestmark = LIGHTNING_WARNINGS


def latest(tmp_path: Path) -> Run:
    (found,) = (tmp_path / "runs").glob("*/latest")
    return Run(found.resolve())


@pytest.mark.parametrize("bar", ["TQDMProgressBar", "StepProgressBar"])
def test_a_bar_that_was_asked_for_takes_the_place_of_ours(args, bar):
    made = fit([*args, f"--trainer.callbacks+={bar}"])
    bars = [each for each in made.trainer.callbacks if isinstance(each, ProgressBar)]
    assert [type(each).__name__ for each in bars] == [bar]
    assert (bars[0] is made.config_init.progress_bar) is False


@pytest.mark.parametrize("name", ["CSVLogger", "lightning.pytorch.loggers.CSVLogger"])
def test_a_further_logger_is_beside_ours_and_writes_into_the_run(args, tmp_path, elsewhere, name):
    made = fit([*args, f"--trainer.logger+={name}"])
    assert [type(each) for each in made.trainer.loggers] == [RunLogger, CSVLogger, MetricsFile]
    run = latest(tmp_path)
    (table,) = run.folder.glob("lightning_logs/version_0/metrics.csv")
    with table.open() as file:
        assert "loss" in next(csv.reader(file))
    assert run.scalars("loss")
    assert run.config["trainer"]["logger"][0]["init_args"]["save_dir"] == RUN
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["CSVLogger", "TensorBoardLogger"])
def test_another_logger_takes_the_place_of_ours_and_writes_into_the_run(args, tmp_path, elsewhere, name):
    made = fit([*args, "--trainer.logger", name])
    assert [type(each).__name__ for each in made.trainer.loggers] == ["MetricsFile", name]
    folder = latest(tmp_path).folder
    assert (folder / "lightning_logs" / "version_0").is_dir()
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "samples" / "step=00000004.png").is_file()
    assert list(elsewhere.iterdir()) == []


def test_a_logger_goes_where_it_is_told_to(args, tmp_path):
    fit([*args, "--trainer.logger+=CSVLogger", "--trainer.logger.save_dir", str(tmp_path / "tables")])
    assert list((tmp_path / "tables").glob("*/*/metrics.csv"))
    assert not (latest(tmp_path).folder / "lightning_logs").exists()


def test_without_a_logger_there_is_the_table(args, tmp_path):
    made = fit([*args, "--trainer.logger", "false"])
    assert [type(each) for each in made.trainer.loggers] == [MetricsFile]
    assert (latest(tmp_path).folder / "metrics.csv").is_file()


@pytest.mark.parametrize(
    ("option", "package"),
    [
        ("--trainer.logger+=WandbLogger", "wandb"),
        ("--trainer.logger lightning.pytorch.loggers.CometLogger", "comet-ml"),
        ("--trainer.callbacks+=RichProgressBar", "rich"),
        ("--trainer.callbacks+=DeviceStatsMonitor", "psutil"),
    ],
)
def test_a_package_that_is_missing_is_named(args, tmp_path, capsys, monkeypatch, option, package):
    there = importlib.util.find_spec
    missing = package.replace("-", "_")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else there(name))
    status, message = refusal([*args, *option.split()], capsys)
    assert status == 2
    assert f"pip install {package}" in message
    assert option.replace("+", " ").replace("=", " ").split()[0] in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "option",
    ["--trainer.overfit_batches 4", "--trainer.overfit_batches 0.5", "--trainer.val_check_interval 0.5"],
)
def test_what_has_no_meaning_in_an_endless_epoch_is_refused(args, tmp_path, capsys, option):
    status, message = refusal([*args, *option.split()], capsys)
    assert status == 2
    assert option.split()[0] in message
    assert "\n" not in message.strip()
    assert not (tmp_path / "runs").exists()


def test_what_a_callback_refuses_before_the_first_step_is_a_line(args, tmp_path, capsys):
    swa = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.01"]
    status, message = refusal([*args, *swa], capsys)
    assert status == 2
    assert "StochasticWeightAveraging" in message
    assert not (tmp_path / "runs").exists()


def test_words_that_only_look_like_a_logger_are_left_alone():
    args = ["--experiment", "CSVLogger", "--trainer.logger", "false", "--run=CSVLogger"]
    assert with_trainer_parts(args) == args
