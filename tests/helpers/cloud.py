"""What the tests of training on Modal share: the stock command line, a tiny run, what is on the Volumes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.helpers.places import REPOSITORY
from tests.modal_emulator import Emulator

ENTRY = REPOSITORY / "modal_entry.py"
RUN = "2026-01-01T00-00-00Z"

TINY = {
    "experiment": "demo",
    "data.root": "cats",
    "data.image_size": 16,
    "data.batch_size": 4,
    "data.val_fraction": 0.3,
    "data.workers": 0,
    "trainer.max_steps": 12,
    "trainer.val_check_interval": 6,
    "trainer.log_every_n_steps": 1,
    "trainer.enable_model_summary": False,
    "model.network.width": 32,
    "model.network.depth": 1,
    "model.network.heads": 2,
    "learning_rate.warm_up": 2,
    "learning_rate.cool_down": 0,
    "sample_grid.every_n_steps": 6,
    "sample_grid.rows": 1,
    "sample_grid.columns": 2,
    "sample_grid.sampling.steps": 2,
    "checkpoint.every_n_steps": 3,
    "progress_bar.refresh_rate": 0,
    "modal.gpu": [],
}
"""A run of seconds on CPU cores."""


@dataclass
class Cloud:
    """A user in a folder, with the stock command line and an emulated Modal."""

    server: Emulator
    cats: Path
    here: Path

    def with_cats(self) -> Cloud:
        """Put the cats on the data Volume."""
        for arguments in (
            ("create", "ninelives-data", "--version", "2"),
            ("put", "ninelives-data", str(self.cats), "/cats"),
        ):
            status, output = self.server.modal("volume", *arguments)
            assert status == 0, output
        return self

    def run(self, entry: str, *args: str) -> tuple[int, str]:
        """Run `modal run modal_entry.py::ENTRY ARGS`."""
        return self.server.modal("run", f"{ENTRY}::{entry}", *args, cwd=self.here, timeout=400)

    def fit(self, *args: str, run: str = RUN, **settings: object) -> tuple[int, str]:
        """Run a tiny training, with further settings as `trainer__max_steps=3`."""
        return self.run("fit", *self.options(**settings), "--run", run, *args)

    def options(self, **settings: object) -> list[str]:
        """The command line of a tiny training."""
        given = {**TINY, **{name.replace("__", "."): value for name, value in settings.items()}}
        return [f"--{name}={value}" for name, value in given.items()]

    def checkout(self) -> Path:
        """A copy of the files that Modal is given, to be changed."""
        place = self.here / "checkout"
        for name in ("lightning_modules", "datamodules", "configs"):
            shutil.copytree(REPOSITORY / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("modal_entry.py", "constraints.txt", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, place / name)
        return place

    def folder(self, run: str = RUN) -> Path:
        """What is published of a run."""
        return self.server.published("ninelives-runs") / "demo" / run

    def checkpoints(self, run: str = RUN) -> list[str]:
        """Names of a run's published checkpoints."""
        return sorted(path.name for path in (self.folder(run) / "checkpoints").glob("step=*.ckpt"))

    def weights(self, step: int, run: str = RUN) -> dict[str, Any]:
        """A published checkpoint."""
        path = self.folder(run) / "checkpoints" / f"step={step:08}.ckpt"
        return torch.load(path, weights_only=True)["state_dict"]

    def text(self) -> str:
        """Everything that containers have printed."""
        return self.server.logs.text()

    def no_app(self) -> bool:
        """Whether no app was ever created."""
        return not self.server.requests("AppCreate")
