"""What the tests of the command line share: scripts as modules, a tiny run's options, what a run leaves."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_modules.cli.names import COMMANDS
from tests.helpers.places import REPOSITORY

SCRIPTS = REPOSITORY / "scripts"

LIGHTNING_WARNINGS = [
    # Lightning 2.6 asks jsonargparse and torch in their old ways.
    pytest.mark.filterwarnings(r"ignore:[\s\S]*(JsonargparseDeprecationWarning per|deprecated in\s+v4)"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]


def load_script(name: str) -> ModuleType:
    """The module of a command, named as on the command line or as its script is."""
    command = next(its for each, its in COMMANDS.items() if name in (each, its.script))
    return importlib.import_module(command.module)


def options(settings: dict[str, object]) -> list[str]:
    """Settings by name as a command line."""
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


def shrunk(cats: Path, folder: Path) -> list[str]:
    """Options that make any config small: little data, few steps, few and quickly drawn samples."""
    return options(
        {
            "experiment": "demo",
            "data.root": cats,
            "data.cache_dir": folder / "cache",
            "data.image_size": 16,
            "data.batch_size": 4,
            "data.val_fraction": 0.3,
            "data.workers": 0,
            "trainer.default_root_dir": folder / "runs",
            "trainer.accelerator": "cpu",
            "trainer.devices": 1,
            "trainer.max_steps": 4,
            "trainer.val_check_interval": 2,
            "trainer.log_every_n_steps": 1,
            "trainer.enable_model_summary": False,
            "learning_rate.warm_up": 2,
            "learning_rate.cool_down": 0,
            "sample_grid.every_n_steps": 2,
            "sample_grid.rows": 1,
            "sample_grid.columns": 2,
            "sample_grid.sampling.steps": 2,
            "sample_grid.sampling.guidance": 1,
            "sample_grid.sampling.guide_length": "null",
            "ema.lengths": "[]",
            "checkpoint.every_n_steps": 2,
        }
    )


DIT = options({"model.network.width": 32, "model.network.depth": 1, "model.network.heads": 2})
UNET = options({"model.network": "{channels: [8, 16], blocks: 1, attention: []}"})


def tiny(cats: Path, folder: Path) -> list[str]:
    """Options of a tiny run of the demo under `folder / "runs"`: a second's work."""
    return [*shrunk(cats, folder), *DIT]


@dataclass(frozen=True)
class Run:
    """A run directory."""

    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    def checkpoint(self, name: str = "last") -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)

    def scalars(self, tag: str) -> dict[int, float]:
        """A scalar's values by step, as TensorBoard reads them."""
        events = EventAccumulator(str(self.folder)).Reload()
        return {event.step: event.value for event in events.Scalars(tag)}


def python(script: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of the repository as a user does, from any directory."""
    return subprocess.run(
        [sys.executable, SCRIPTS / script, *args],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def refusal(args: list[str], capsys: pytest.CaptureFixture[str], script: str = "fit") -> tuple[int, str]:
    """The exit status and the message of a command line that is refused."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        load_script(script).main(args)
    error = capsys.readouterr().err
    if isinstance(stopped.value.code, str):  # sys.exit prints it and turns it into 1
        return 1, error + stopped.value.code
    return int(stopped.value.code or 0), error


def printed(args: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What --print_config prints for a command line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        load_script("fit").main([*args, "--print_config"])
    assert stopped.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)
