from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_modules.run.data_index import DataIndex
from lightning_modules.run.directory import RunDirectory

HOSTILE = "<img src=x onerror=alert(1)>\"'&\n\x1b[31m"


class MadeUpRun:
    """A run directory whose files are written one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunDirectory(folder)
        self.run.start()

    def config(self, **settings: object) -> None:
        default = {
            "experiment": "demo",
            "model": {"class_path": "lightning_modules.models.DiTDiffusion"},
            "data": {"image_size": 32, "root": "my_images"},
            "trainer": {"max_steps": 300, "default_root_dir": str(self.folder.parent.parent)},
        }
        self.run.config.write_text(yaml.safe_dump(default | settings))

    def data(self, *classes: str) -> None:
        hashes = np.arange(10 * len(classes), dtype=np.uint32)
        DataIndex("f" * 32, hashes, classes, (10,) * len(classes)).save(self.folder)
        identity = {"data.fingerprint": "f" * 32, "seed_everything": 0}
        self.run.manifest.write_text(json.dumps({"identity": identity, "circumstances": {"python": "3.11"}}))

    def lives(self, *entries: tuple[str, int] | tuple[str, int, dict[str, object]]) -> None:
        """Each a minute after the one before."""
        facts = {
            "device": "cpu",
            "images": 54,
            "val_images": 6,
            "images_per_step": 4,
            "parameters": 3_041_234,
        }
        with self.run.telemetry.open("a") as file:
            for number, (event, step, *further) in enumerate(entries):
                entry = {"event": event, "time": 1.8e9 + 60 * number, "step": step}
                more = facts if event == "start" else {}
                file.write(json.dumps(entry | more | (further[0] if further else {})) + "\n")

    def metrics(self, **columns: list[float | str]) -> None:
        names = list(columns)
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(["step", *names])]
        lines += [",".join(map(str, [10 * number, *row])) for number, row in enumerate(rows, 1)]
        self.run.metrics.write_text("\n".join(lines) + "\n")

    def checkpoint(self, step: int) -> None:
        (self.run.checkpoints / f"step={step:08d}.ckpt").touch()

    def grids(self, *steps: int, size: int = 64) -> None:
        self.run.samples.mkdir(exist_ok=True)
        for step in steps:
            pixels = np.random.default_rng(step).integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.run.sample_grid(step))


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUpRun:
    return MadeUpRun(tmp_path / "runs" / "demo" / "2026-01-01T00-00-00Z")
