from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.pictures.images import image_grid, save_png


def read(path) -> torch.Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


@pytest.mark.parametrize("gap", [0, 1, 2])
@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(6, 3, 2), (5, 3, 2), (1, 1, 1), (2, 4, 1), (3, 1, 3)]
)
def test_grid_is_row_by_row_on_white(count, columns, rows, gap):
    images = torch.randint(0, 255, (count, 3, 2, 4), dtype=torch.uint8)
    grid = image_grid(images, columns, gap)
    assert grid.shape == (3, rows * 2 + (rows - 1) * gap, columns * 4 + (columns - 1) * gap)
    assert grid.dtype == torch.uint8
    expected = torch.full_like(grid, 255)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = row * (2 + gap), column * (4 + gap)
        expected[:, top : top + 2, left : left + 4] = image
    assert torch.equal(grid, expected)


@pytest.mark.parametrize("scale", [1, 3])
def test_png_holds_each_pixel_as_a_square(tmp_path, scale):
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    save_png(image, tmp_path / "deep" / "er" / "image.png", scale)
    expected = image.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    assert torch.equal(read(tmp_path / "deep" / "er" / "image.png"), expected)
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["image.png"]


def test_png_replaces_an_older_one(tmp_path):
    for value in (1, 2):
        save_png(torch.full((3, 2, 2), value, dtype=torch.uint8), tmp_path / "image.png")
    assert (read(tmp_path / "image.png") == 2).all()


def test_an_interrupted_save_leaves_the_old_picture(tmp_path, monkeypatch):
    old = torch.zeros(3, 2, 2, dtype=torch.uint8)
    save_png(old, tmp_path / "image.png")

    def half(_, file, **options):
        file.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_png(old + 9, tmp_path / "image.png")
    assert torch.equal(read(tmp_path / "image.png"), old)
    assert [path.name for path in tmp_path.glob("*.png")] == ["image.png"]
