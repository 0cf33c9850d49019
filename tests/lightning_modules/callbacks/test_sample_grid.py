from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.ema.callback import EMA
from lightning_modules.module import AdamWSettings
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import data, fit, module, randomize

SAMPLING = Sampling(steps=2)


def grid(every: int = 2, **options) -> SampleGrid:
    return SampleGrid(**{"every_n_steps": every, "rows": 2, "columns": 3, "sampling": SAMPLING, **options})


def drawn(folder) -> list[str]:
    return sorted(path.name for path in (folder / "samples").glob("*"))


@pytest.mark.parametrize(
    ("every", "last", "steps"), [(2, 5, [2, 4, 5]), (2, 4, [2, 4]), (9, 3, [3]), (1, 2, [1, 2])]
)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_png_at_every_due_step_and_at_the_end(image_folder, tmp_path, every, last, steps, accumulation):
    options = {"max_steps": last, "accumulate_grad_batches": accumulation}
    fit(tmp_path, module(), data(image_folder), [grid(every)], **options)
    assert drawn(tmp_path) == [f"step={step:08d}.png" for step in steps]
    with Image.open(tmp_path / "samples" / f"step={last:08d}.png") as picture:
        assert picture.mode == "RGB"
        width, height = picture.size
        assert width >= 3 * 128  # 8 pixels of 16
        assert height >= 2 * 128


def test_one_grid_per_step_under_accumulation(image_folder, tmp_path, monkeypatch):
    steps = []

    def counting(model, *args, **options):
        steps.append(model.trainer.global_step)
        return sample(model, *args, **options)

    monkeypatch.setattr("lightning_modules.callbacks.sample_grid.sample", counting)
    fit(tmp_path, module(), data(image_folder), [grid(1)], max_steps=3, accumulate_grad_batches=3)
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"fast_dev_run": 3}])
def test_nothing_on_fast_dev_run(image_folder, tmp_path, options):
    fit(tmp_path, module(), data(image_folder), [grid(1)], **options)
    assert not list(tmp_path.iterdir())


def test_nothing_if_turned_off(image_folder, tmp_path):
    fit(tmp_path, module(), data(image_folder), [grid(0)], max_steps=2)
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize(("rate", "same"), [(0.0, True), (0.01, False)])
def test_the_noise_and_the_labels_are_the_same_each_time(image_folder, tmp_path, rate, same):
    """Weights that stand still give the same picture; the pictures differ by the weights alone."""
    model = randomize(module(optimizer=AdamWSettings(rate, weight_decay=0.0)))
    fit(tmp_path, model, data(image_folder), [grid(1)], max_steps=3)
    pictures = set()
    _, top = grid().sheet(ClassLabels(("a", "b")), 1).place(0, (8, 8))  # the step stands above
    for name in drawn(tmp_path):
        with Image.open(tmp_path / "samples" / name) as picture:
            pictures.add(picture.crop((0, top, *picture.size)).tobytes())
    assert len(pictures) == (1 if same else 3)


def test_the_picture_is_that_of_the_averaged_weights(image_folder, tmp_path):
    """After the fit the module holds the averaged weights and gives the last grid again."""
    model = randomize(module(optimizer=AdamWSettings(0.05)))
    callback = grid(4, seed=3)
    fit(tmp_path, model, data(image_folder), [EMA(0.9), callback], max_steps=4)
    images = model.encoder.decode(sample(model, callback.condition(model.conditioner), SAMPLING, seed=3))
    expected = callback.sheet(model.conditioner, 4).draw(images)
    with Image.open(tmp_path / "samples" / "step=00000004.png") as picture:
        actual = torch.from_numpy(np.array(picture.convert("RGB")))
    assert torch.equal(actual.permute(2, 0, 1), expected)


@pytest.mark.parametrize(("classes", "row"), [(1, [0, 0, 0]), (2, [0, 1, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_a_column_is_a_class(classes, row):
    assert grid().condition(ClassLabels(tuple("abcde"[:classes]))).labels.tolist() == row * 2


@pytest.mark.parametrize(
    ("names", "title", "columns"),
    [
        (["cats"], "step 1,200", []),
        (["a", "b"], "step 1,200", ["a", "b", "a"]),
        (["a", "b", "c"], "step 1,200", ["a", "b", "c"]),
        ([f"{i}" for i in range(1200)], "step 1,200 · 3 of 1,200 classes", ["0", "1", "2"]),
    ],
)
def test_what_stands_above_the_columns(names, title, columns):
    sheet = grid().sheet(ClassLabels(tuple(names)), 1200)
    assert (sheet.title, list(sheet.column_names)) == (title, columns)


def test_tensorboard_gets_the_grid(image_folder, tmp_path):
    logger = TensorBoardLogger(tmp_path, "", "run")
    options = {"max_steps": 3, "logger": logger, "log_every_n_steps": 1}
    fit(tmp_path, randomize(module()), data(image_folder), [grid(2)], **options)
    assert drawn(tmp_path / "run") == ["step=00000002.png", "step=00000003.png"]
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    pictures = events.Images("samples")
    assert [picture.step for picture in pictures] == [2, 3]
    on_disk = (tmp_path / "run" / "samples" / "step=00000002.png").read_bytes()
    assert pixels(pictures[0].encoded_image_string) == pixels(on_disk)


def pixels(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGB").tobytes()
