from __future__ import annotations

import math

import pytest
import torch

from lightning_modules.encoders import RGB
from lightning_modules.pictures.sheets import LaidOut
from lightning_modules.sampling.demonstrations import (
    class_grid,
    denoising_frames,
    denoising_strip,
    interpolation_grid,
)
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.image_noise import ImageNoise, InterpolatedNoise, slerp
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import SIZE, classes, module, randomize

SETTINGS = Sampling(steps=4)


def model():
    trained = module()
    randomize(trained.network)
    return trained


def tile(laid_out: LaidOut, row: int, column: int) -> torch.Tensor:
    return laid_out.images[row * laid_out.sheet.columns + column].int()


def test_class_grid_has_a_class_a_column_and_the_same_noise_a_row():
    grid = class_grid(model(), SETTINGS, seed=3, rows=2)
    assert list(grid.sheet.column_names) == ["a", "b"]
    assert len(grid.images) == 4
    for row in range(2):
        for column in range(2):
            alone = RGB().decode(sample(model(), classes(column), SETTINGS, 3, [row]))[0].int()
            assert (tile(grid, row, column) - alone).abs().max() <= 1
    assert (tile(grid, 0, 0) - tile(grid, 0, 1)).abs().max() > 1


def test_interpolation_starts_and_ends_at_the_images_of_the_set():
    grid = interpolation_grid(model(), SETTINGS, classes(0, 1), seed=3, columns=5)
    images = RGB().decode(sample(model(), classes(0, 0, 1, 1), SETTINGS, 3)).int()
    assert list(grid.sheet.column_names) == ["0%", "25%", "50%", "75%", "100%"]
    assert list(grid.sheet.row_names) == ["a", "b"]
    for row in range(2):
        assert (tile(grid, row, 0) - images[2 * row]).abs().max() <= 1
        assert (tile(grid, row, 4) - images[2 * row + 1]).abs().max() <= 1
        assert (tile(grid, row, 2) - images[2 * row]).abs().max() > 1


def test_frames_are_the_estimates_and_end_with_the_images():
    frames = denoising_frames(model(), SETTINGS, classes(0, 1, 1), seed=3)
    assert len(frames) == SETTINGS.denoiser_evaluations
    images = RGB().decode(sample(model(), classes(0, 1, 1), SETTINGS, 3))
    assert torch.equal(frames[-1], images)
    assert not torch.equal(frames[0], images)


def test_strip_shows_the_first_and_the_last_frame():
    frames = [torch.full((2, 3, SIZE, SIZE), value, dtype=torch.uint8) for value in range(21)]
    strip = denoising_strip(frames, ["a", "b"], columns=5)
    assert strip.images[:, 0, 0, 0].tolist() == [0, 5, 10, 15, 20] * 2
    assert list(strip.sheet.column_names) == ["1", "6", "11", "16", "21"]
    assert list(strip.sheet.row_names) == ["a", "b"]
    assert denoising_strip(frames[:3], columns=5).sheet.columns == 3


def test_more_classes_than_columns_are_sampled_once_each():
    names = [f"class {number}" for number in range(30)]
    many = module(class_names=names)
    grid = class_grid(randomize(many), SETTINGS)
    assert (grid.sheet.columns, len(grid.images)) == (6, 30)
    assert list(grid.sheet.captions) == names
    assert "30 classes" in grid.sheet.title


def test_pictures_leave_the_module_in_training():
    trained = model().train()
    denoising_frames(trained, SETTINGS, classes(0))
    assert trained.training


def test_slerp_keeps_the_length_and_divides_the_angle():
    generator = torch.Generator().manual_seed(0)
    start, end = (torch.randn(5, 1, 3, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    start, end = (x / x.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1) for x in (start, end))
    shares = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0], dtype=torch.float64)
    between = slerp(start, end, shares).flatten(1)
    ones = torch.ones(5, dtype=torch.float64)
    torch.testing.assert_close(between.norm(dim=1), ones, rtol=1e-12, atol=0)
    angles = [(a * b.flatten(1)).sum(1).arccos() for a, b in ((between, start), (start.flatten(1), end))]
    torch.testing.assert_close(angles[0], shares * angles[1], rtol=1e-6, atol=1e-7)


def test_interpolated_noise_is_as_long_as_noise():
    ends = [ImageNoise(0, [number] * 5, (3, 32, 32)) for number in (0, 1)]
    noise = InterpolatedNoise(*ends, torch.linspace(0, 1, 5))
    for _ in range(2):
        assert (noise().flatten(1).square().mean(1) - 1).abs().max() < 0.05


@pytest.mark.parametrize("count", [21, 130])
def test_many_classes_are_sampled_once_each_in_a_square(count: int) -> None:
    trained = module(class_names=tuple(map(str, range(count))))
    randomize(trained.network)
    grid = class_grid(trained, Sampling(steps=1), seed=3, batch_size=50)
    assert len(grid.images) == count
    assert grid.sheet.columns == math.ceil(math.sqrt(count))
    row, column = divmod(count - 1, grid.sheet.columns)
    alone = RGB().decode(sample(trained, classes(count - 1), Sampling(steps=1), 3, [0]))[0].int()
    assert (tile(grid, row, column) - alone).abs().max() <= 1
