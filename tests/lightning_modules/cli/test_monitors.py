"""What callbacks go by is logged, or told before there is a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.cli.parsing.monitors import check_monitors
from tests.helpers.command_line import LIGHTNING_WARNINGS, refusal

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]


class Logs(Callback):
    """A user's own callback, which may log anything."""


@pytest.mark.parametrize("name", ["loss", "loss/val", "evaluation/kid", "error_sigma_0.1_to_0.3/val"])
def test_what_is_logged_can_be_gone_by(name: str) -> None:
    check_monitors(
        [EarlyStopping(name), ModelCheckpoint(monitor=name), StepCheckpoint(keep_best=1, monitor=name)]
    )


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping("val_loss"), ModelCheckpoint(monitor="val_loss")],
    ids=lambda c: type(c).__name__,
)
def test_what_nothing_logs_is_refused_unless_a_callback_of_the_user_may_log_it(callback: Callback) -> None:
    with pytest.raises(ValueError, match=r"--trainer\.callbacks\.monitor.*loss/val"):
        check_monitors([callback])
    check_monitors([callback, Logs()])


def test_the_best_by_what_nothing_logs_are_refused_only_if_any_are_kept() -> None:
    check_monitors([StepCheckpoint(monitor="val_loss")])
    with pytest.raises(ValueError, match=r"--checkpoint\.monitor"):
        check_monitors([StepCheckpoint(keep_best=2, monitor="val_loss")])


def test_a_command_line_is_refused_before_there_is_a_run(
    args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    stopping = ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val_loss"]
    for options in (stopping, ["--checkpoint.keep_best", "2", "--checkpoint.monitor", "val_loss"]):
        status, message = refusal([*args, *options], capsys)
        assert status == 2
        assert "val_loss" in message
        assert ".monitor" in message
        assert not list(tmp_path.glob("**/manifest.json"))
