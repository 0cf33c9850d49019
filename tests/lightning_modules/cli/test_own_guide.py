"""Guiding away from the run's own long average, from the command line of training to that of every script."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.pictures.images import viewing_scale
from lightning_modules.trained.checkpoint import load_model
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, refusal, tiny

pytestmark = LIGHTNING_WARNINGS

GUIDED = ["--sample_grid.sampling.guidance", "3", "--sample_grid.sampling.guide_length", "0.25"]


@pytest.fixture(scope="session")
def guided(cats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run that keeps a long average and guides its grids away from it."""
    folder = tmp_path_factory.mktemp("guided")
    args = [*tiny(cats, folder), "--experiment", "guided", "--model.optimizer.learning_rate", "0.02"]
    load_script("fit").main([*args, "--ema.lengths", "[0.1,0.25]", *GUIDED])
    return Run((folder / "runs" / "guided" / "latest").resolve())


def images_of(run: Path, out: Path, *args: str) -> np.ndarray:
    """The first two images that sample.py makes, (2, H, W, 3)."""
    load_script("sample").main([str(run), "--n", "2", "--out", str(out), *args])
    return np.stack([np.asarray(Image.open(out / f"{i:05d}.png")).astype(int) for i in range(2)])


def test_grid_and_script_guide_alike(guided: Run, tmp_path: Path) -> None:
    with Image.open(guided.folder / "samples" / "step=00000004.png") as picture:
        grid = np.asarray(picture.convert("RGB")).astype(int)
    scale = viewing_scale(16)
    conditioner = load_model(guided.folder / "checkpoints" / "last.ckpt").conditioner
    sheet = SampleGrid(columns=2).sheet(conditioner, step=4)
    images = images_of(guided.folder, tmp_path / "own")
    for number, image in enumerate(images):
        left, top = sheet.place(number, (16, 16))
        shown = grid[top : top + 16 * scale : scale, left : left + 16 * scale : scale]
        assert np.abs(shown - image).max() <= 1
    plain = images_of(guided.folder, tmp_path / "plain", "--guidance", "1")
    assert np.abs(plain - images).max() > 8


def test_length_is_an_option(guided: Run, tmp_path: Path) -> None:
    own = images_of(guided.folder, tmp_path / "own")
    for length in ("0.1", "0"):  # 0: away from the images of all classes
        assert np.abs(images_of(guided.folder, tmp_path / length, "--guide-length", length) - own).max() > 1
    told = json.loads((tmp_path / "0" / "sampling.json").read_text())
    assert told["sampling"]["guide_length"] is None


def test_length_that_is_not_kept_is_refused(guided: Run, tmp_path: Path, capsys) -> None:
    args = [str(guided.folder), "--out", str(tmp_path / "out"), "--guide-length", "0.2"]
    status, message = refusal(args, capsys, "sample")
    assert status == 1
    assert ": 0.1, 0.25" in message
    assert not (tmp_path / "out").exists()


def test_training_is_refused_before_there_is_a_run(args: list[str], tmp_path: Path, capsys) -> None:
    status, message = refusal([*args, *GUIDED], capsys, "fit")
    assert status != 0
    assert re.search(r"guide_length 0\.25\b.*ema\.lengths \[\]", message)
    assert not (tmp_path / "runs").exists()


def test_an_export_holds_no_guide(guided: Run, tmp_path: Path, capsys) -> None:
    out = tmp_path / "cats.safetensors"
    load_script("export").main([str(guided.folder), "--to", "safetensors", "--out", str(out)])
    assert "unguided" in capsys.readouterr().out
    told = json.loads((tmp_path / "cats.safetensors.json").read_text())["sampling"]
    assert (told["guidance"], told["guide_length"]) == (1.0, None)
    plain = images_of(guided.folder, tmp_path / "run", "--guidance", "1")
    assert np.array_equal(images_of(out, tmp_path / "export"), plain)


def test_scales_are_compared(guided: Run, tmp_path: Path) -> None:
    args = [str(guided.folder), "--out", str(tmp_path), "--n", "10", "--features", "random", "--no-plots"]
    load_script("evaluate").main([*args, "--guidance", "1,3"])
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["facts"]["guidance"] for row in rows] == [1, 3]
    assert [row["facts"]["nfe"] for row in rows] == [2, 4]
    assert "NFE 4, to sigma 0.2, guidance 3 away from length 0.25" in rows[1]["name"]
    assert len(list(tmp_path.glob("samples-*.png"))) == 2


def test_a_run_evaluates_itself_with_its_guide(args: list[str], tmp_path: Path) -> None:
    own = ["--ema.lengths", "[0.25]", "--evaluation.every_n_steps", "4", "--evaluation.images", "10"]
    guide = [text.replace("sample_grid", "evaluation") for text in GUIDED]
    with pytest.MonkeyPatch.context() as patch:
        lengths: list[float | None] = []
        module = load_script("fit")
        from lightning_modules.module import DiffusionModule

        weights = DiffusionModule.ema_weights
        patch.setattr(
            DiffusionModule,
            "ema_weights",
            lambda self, length: lengths.append(length) or weights(self, length),
        )
        module.main([*args, *own, *guide, "--evaluation.features", "random"])
    assert lengths
    assert set(lengths) == {0.25}
