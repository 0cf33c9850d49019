from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.batches.finishing import normalized
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.checkpoints.facts import CheckpointFacts
from lightning_modules.encoders import RGB
from lightning_modules.export.manifest import describe, rebuild
from lightning_modules.module import AdamWSettings
from lightning_modules.sampling.generate import sample, sample_images
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.checkpoint import load_model
from tests.helpers.tiny import KINDS, classes, data, fit, module

VALUES = torch.arange(256)


def test_all_pixel_values_come_back():
    assert torch.equal(RGB().decode(RGB().encode(VALUES.to(torch.uint8))), VALUES.to(torch.uint8))


def test_images_of_the_data_module_are_encoded_already():
    images = normalized(VALUES.float())
    assert RGB().encode(images) is images
    assert torch.equal(RGB().encode(VALUES.to(torch.uint8)), images)


def test_values_are_rounded_and_not_cut_off():
    """A truncated picture would be darker than the image by half a level."""
    values = torch.tensor([100.4, 100.6, 0.4, 0.6, 254.6])
    assert RGB().decode(values / 127.5 - 1).tolist() == [100, 101, 0, 1, 255]
    many = torch.linspace(-1, 1, 100_001)
    error = RGB().decode(many) / 127.5 - 1 - many
    assert abs(error.mean().item()) < 1e-4
    assert error.abs().max() <= 0.5 / 127.5 + 1e-6


def test_values_outside_are_clipped():
    values = torch.tensor([-100.0, -1.01, 1.01, 5.0, torch.inf, -torch.inf])
    assert RGB().decode(values).tolist() == [0, 0, 255, 255, 255, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_shape_is_kept_and_the_result_is_uint8(dtype):
    result = RGB().decode(torch.zeros(2, 3, 4, 5, dtype=dtype))
    assert result.shape == (2, 3, 4, 5)
    assert result.dtype == torch.uint8
    assert (result == 128).all()


# Another space: what a user would write


@dataclass(frozen=True)
class Gray(RGB):
    """The mean of red, green and blue: one channel."""

    def shape(self, image_size: int) -> tuple[int, int, int]:
        return 1, image_size, image_size

    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images).mean(1, keepdim=True)

    def decode(self, x_0: Tensor) -> Tensor:
        return super().decode(x_0.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_space_trains_and_samples(kind, image_folder, tmp_path):
    model = module(kind, encoder=Gray(), optimizer=AdamWSettings(1e-3))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    settings = Sampling(steps=2, guidance=2.0)
    callbacks = [SampleGrid(2, rows=1, columns=2, sampling=settings), LossByNoiseLevel()]
    run = fit(tmp_path, model, data(image_folder), callbacks, max_steps=4, val_check_interval=4)
    assert any(not torch.equal(before[name], weight) for name, weight in model.named_parameters())
    assert sample(model, classes(0, 1), settings).shape == (2, 1, 8, 8)
    (batch,) = sample_images(model, settings, classes(0, 1))
    assert batch.images.shape == (2, 3, 8, 8)
    assert torch.equal(batch.images[:, 0], batch.images[:, 2])
    with Image.open(tmp_path / "samples" / "step=00000004.png") as picture:
        pixels = np.asarray(picture)
    assert (pixels == pixels[..., :1]).all()
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = load_model(tmp_path / "last.ckpt")
    assert loaded.encoder == Gray()
    assert loaded.image_shape == (1, 8, 8)


def test_an_export_says_which_space(tmp_path):
    described = describe(module(encoder=Gray()), CheckpointFacts(1, "raw"), Sampling())
    assert described["encoder"] == {"class_path": "Gray", "init_args": {}}
    assert described["images"]["channels"] == 1
    assert rebuild(described).image_shape == (1, 8, 8)
