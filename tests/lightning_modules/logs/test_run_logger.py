"""TensorBoard reads the lives of a run in their order, whatever the clock says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from lightning_modules.logs.run_logger import RunLogger


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(event_file_writer, "time", clock)
    return clock


def live(folder: Path, value: float, steps: range, resumed: int | None = None) -> None:
    """A process that logs a value at some steps."""
    logger = RunLogger(folder, resumed)
    for step in steps:
        logger.log_metrics({"loss": value}, step - 1)
    logger.save()
    logger.finalize("success")


@pytest.mark.parametrize(
    "starts", [(3000, 2000, 1000), (2000, 2000, 2000), (1000, 2000, 3000), (3000, 1000, 2000)], ids=str
)
def test_what_a_later_life_logs_takes_the_place_of_what_was_lost(tmp_path, clock, starts):
    folder = tmp_path / "run"
    lives = [(1.0, range(1, 21), None), (2.0, range(11, 31), 10), (3.0, range(16, 26), 15)]
    for start, (value, steps, resumed) in zip(starts, lives, strict=True):
        clock.now = start
        live(folder, value, steps, resumed)
    events = EventAccumulator(str(folder)).Reload().Scalars("loss")
    assert [event.step for event in events] == list(range(1, 26))
    assert [event.value for event in events] == [1.0] * 10 + [2.0] * 5 + [3.0] * 10
    assert len(list(folder.glob("events.out.tfevents.*"))) == 3


def test_a_clock_that_runs_well_names_the_files_as_ever(tmp_path, clock):
    for clock.now in (1000, 2000):
        live(tmp_path, 1.0, range(1, 3))
    seconds = sorted(int(path.name.split(".")[3]) for path in tmp_path.glob("events*"))
    assert seconds == [1000, 2000]


def test_a_logger_that_was_closed_goes_on(tmp_path):
    """A trainer that fits twice closes its loggers in between."""
    logger = RunLogger(tmp_path / "run")
    for step, name in enumerate(("loss", "loss/val")):
        logger.log_metrics({name: 1.0, "epoch": 0}, step)
        logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {tag: [each.step for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]} == {
        "loss": [1],
        "loss/val": [2],
    }
    assert not (tmp_path / "run" / "hparams.yaml").exists()
