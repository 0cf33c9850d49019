"""Two processes, as on two devices: one run directory, one decision to stop, the same end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datamodules.utils.exit_codes import RESUME
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, options, tiny
from tests.helpers.places import CHILD

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.slow]


def train(what: str, args: list[str]) -> tuple[int, str]:
    command = [sys.executable, str(CHILD), what, "2", *args]
    result = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    return result.returncode, result.stderr


def test_a_signal_to_the_first_process_stops_both_and_both_go_on(cats: Path, tmp_path: Path) -> None:
    two = options({"trainer.devices": 2, "trainer.strategy": "ddp", "progress_bar.refresh_rate": 0})
    args = [*tiny(cats, tmp_path), *two]
    straight = [*args, "--run", "straight"]
    status, said = train("SIGTERM", args)
    assert status == RESUME, said
    status, said = train("none", args)
    assert status == 0, said
    status, said = train("none", straight)
    assert status == 0, said
    experiment = tmp_path / "runs" / "demo"
    other, one = sorted(path for path in experiment.iterdir() if path.name != "latest")
    first, second = Run(one).checkpoint(), Run(other).checkpoint()
    assert first["global_step"] == second["global_step"] == 4
    for name, weight in first["current_model_state"].items():
        assert torch.equal(weight, second["current_model_state"][name]), name
    assert Run(other).scalars("images_seen")[4] == 32
