from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.callbacks import loss_plot
from lightning_modules.callbacks.loss_plot import LossPlot
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.logs.metrics_file import MetricsFile
from lightning_modules.logs.metrics_table import read_metrics
from lightning_modules.pictures.loss_plot import plot_losses
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import data, fit, module

LOSS = [(step, 1 / step) for step in range(1, 300)]
BAND = {"train": LOSS, "val": LOSS[::50], "identity": LOSS[::50], "constant": LOSS[::50]}


def band(low: float, high: float) -> dict[str, list[tuple[int, float]]]:
    return {f"error_sigma_{low:g}_to_{high:g}/{name}": points for name, points in BAND.items()}


@pytest.mark.parametrize(
    "scalars",
    [
        {"loss": LOSS},
        {"loss": LOSS[:1], "loss/val": LOSS[:1]},
        {"loss": LOSS, "loss/val": LOSS[::50], **band(0.1, 1), **band(1, 10)},
        {"loss": [(1, float("nan")), (2, float("inf")), (3, 0.0), (4, -1.0)]},
        {"loss": [(1, float("nan"))]},
        {f"error_sigma_{i}_to_{i + 1}/train": LOSS for i in range(20)},
    ],
    ids=["loss", "a point", "bands", "no logarithm", "nothing finite", "twenty bands"],
)
def test_a_picture_of_whatever_a_run_has_logged(tmp_path, scalars):
    assert plot_losses(scalars, tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).min() < 128  # something is drawn
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]


def test_no_picture_of_nothing(tmp_path):
    assert not plot_losses({"learning_rate": LOSS}, tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[int]]]:
    """The steps of what each drawing was given."""
    calls: list[dict[str, list[int]]] = []

    def draw(scalars, path: Path) -> bool:
        calls.append({name: [step for step, _ in points] for name, points in scalars.items()})
        return True

    monkeypatch.setattr(loss_plot, "plot_losses", draw)
    return calls


def train(folder: Path, image_folder: Path, *callbacks, share: float = 1e9, **options) -> None:
    callbacks = [LossPlot(share), LossByNoiseLevel((0.1, 1.0)), *callbacks]
    settings = {"max_steps": 4, "log_every_n_steps": 1, "logger": MetricsFile(folder), **options}
    fit(folder, module(), data(image_folder), callbacks, **settings)


def test_drawn_after_each_validation_and_whole_at_the_end(image_folder, tmp_path, drawn):
    train(tmp_path, image_folder, val_check_interval=2)
    assert [steps["loss/val"] for steps in drawn] == [[2], [2, 4], [2, 4]]
    assert drawn[-1]["loss"] == [1, 2, 3, 4]


def test_drawn_at_sample_grids_without_a_validation(image_folder, tmp_path, drawn):
    grid = SampleGrid(2, rows=1, columns=1, sampling=Sampling(steps=1))
    train(tmp_path, image_folder, grid, limit_val_batches=0)
    assert [steps["loss"] for steps in drawn] == [[1, 2], [1, 2, 3, 4]]


def test_what_would_take_too_much_of_the_time_is_left_out_but_not_at_the_end(image_folder, tmp_path, drawn):
    train(tmp_path, image_folder, val_check_interval=1, share=1e-9)
    assert [steps["loss"] for steps in drawn] == [[1], [1, 2, 3, 4]]


def test_the_picture_is_in_the_run_directory(image_folder, tmp_path):
    train(tmp_path, image_folder, max_steps=1)
    assert (tmp_path / "loss.png").is_file()
    assert read_metrics(tmp_path / "metrics.csv")["loss"]


def test_a_picture_that_the_disk_refuses_is_said_and_training_goes_on(
    image_folder, tmp_path, monkeypatch, caplog
):
    def failing(*_):
        raise OSError(28, "full")

    monkeypatch.setattr(loss_plot, "plot_losses", failing)
    train(tmp_path, image_folder, val_check_interval=2)
    assert [step for step, _ in read_metrics(tmp_path / "metrics.csv")["loss"]] == [1, 2, 3, 4]
    assert str(tmp_path / "loss.png") in caplog.text


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"logger": None}])
def test_nothing_where_nothing_is_kept(image_folder, tmp_path, options):
    train(tmp_path, image_folder, max_steps=1, **options)
    assert not (tmp_path / "loss.png").exists()
