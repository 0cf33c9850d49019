"""Memory that really runs out, under a limit that the system enforces."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.command_line import LIGHTNING_WARNINGS, UNET, Run, options, shrunk
from tests.helpers.places import CHILD

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.slow]


def train(what: str, args: list[str]) -> str:
    result = subprocess.run(
        [sys.executable, str(CHILD), what, "0", *args],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_a_batch_that_does_not_fit_is_computed_in_parts(cats: Path, tmp_path: Path) -> None:
    args = [
        *["--model", "UNetDiffusion", *shrunk(cats, tmp_path), *UNET],
        *options({"model.network.channels": "[64]", "data.batch_size": 192}),
        *options({"trainer.max_steps": 3, "progress_bar.refresh_rate": 0}),
    ]
    train("memory:100000", [*args, "--run", "free"])
    said = train("memory:170", [*args, "--run", "limited"])
    assert re.search(r"memory.*\b0\b.*\b192\b.*\b2\b", said)
    free, limited = (Run(tmp_path / "runs" / "demo" / name) for name in ("free", "limited"))
    assert json.loads((limited.folder / "recovery.json").read_text())["split"] > 1
    assert limited.checkpoint()["global_step"] == 3
    for name, weight in free.checkpoint()["current_model_state"].items():
        torch.testing.assert_close(
            limited.checkpoint()["current_model_state"][name], weight, rtol=1e-3, atol=1e-4
        )
