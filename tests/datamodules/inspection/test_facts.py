from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decode.decode import ImageError, Limits
from datamodules.index.index import scan_folder
from datamodules.inspection import facts
from datamodules.inspection.facts import inspect_images, look_at


def save(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def test_size_is_the_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (40, 20), 9).save(tmp_path / "a.jpg", exif=exif)
    found = look_at(tmp_path / "a.jpg", Limits())
    assert (found.width, found.height, found.mode, found.file_format) == (20, 40, "L", "JPEG")


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_black_bar_is_found_on_its_side(tmp_path: Path, side: int, orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(90, 256, (128, 128, 3))
    slices = [np.s_[:, :16], np.s_[:16], np.s_[:, -16:], np.s_[-16:]]  # left, top, right, bottom
    pixels[slices[side]] = 3
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.jpg", quality=90, exif=exif)
    shown = side if orientation == 1 else (side + 1) % 4  # a quarter turn to the right
    expected = np.zeros(4)
    expected[shown] = 0.125
    np.testing.assert_allclose(look_at(tmp_path / "a.jpg", Limits()).borders, expected, atol=1 / 64)


def test_dark_pictures_have_no_bars(tmp_path: Path) -> None:
    for name, pixels in (
        ("black.png", np.zeros((64, 64, 3))),
        ("fading.png", np.tile(np.linspace(0, 120, 256)[:, None, None], (1, 256, 3))),
        ("bright.png", np.full((64, 64, 3), 200)),
    ):
        assert look_at(save(pixels, tmp_path / name), Limits()).borders == (0, 0, 0, 0)


def test_contrast_is_the_deviation_of_brightness(tmp_path: Path) -> None:
    halves = np.zeros((64, 64, 3))
    halves[:32] = 200
    assert look_at(save(halves, tmp_path / "a.png"), Limits()).contrast == pytest.approx(100, abs=2)
    assert look_at(save(np.full((64, 64, 3), 200), tmp_path / "b.png"), Limits()).contrast == 0


def test_what_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError, match="empty"):
        look_at(tmp_path / "a.jpg", Limits())


def test_processes_see_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = scan_folder(folder)
    rows = np.arange(1, len(index))
    done: list[int] = []
    alone = inspect_images(index, rows, Limits(), 0, done.append)
    monkeypatch.setattr(facts, "_PARALLEL_FROM", 1)
    monkeypatch.setattr(facts, "_CHUNK", 4)
    together = inspect_images(index, rows, Limits(), 2, done.append)
    np.testing.assert_array_equal(alone.rows, together.rows)
    assert alone.facts == together.facts
    assert alone.rejected == together.rejected
    assert [path for path, _ in alone.rejected] == ["dogs/empty.jpg", "dogs/page.jpg"]
    assert sum(done) == 2 * len(rows)
    assert 0 not in alone.rows
