"""What the tests of stopping and continuing share."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from lightning_modules.cli.fit import fit
from tests.helpers.command_line import Run
from tests.helpers.places import CHILD

EIGHT_STEPS = ["--trainer.max_steps", "8", "--progress_bar.refresh_rate", "0"]


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
    assert untimed(one) == untimed(other)


def untimed(run: Run) -> list[list[str]]:
    """`metrics.csv` as it stands, but the columns that tell of the clock."""
    rows = [line.split(",") for line in (run.folder / "metrics.csv").read_text().splitlines()]
    return [
        [cell for name, cell in zip(rows[0], row, strict=True) if not name.startswith("throughput/")]
        for row in rows
    ]
