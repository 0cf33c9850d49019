"""Images of 32-bit numbers, which do not say what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decode.decode import decode_image
from tests.helpers.image_files import reason_of
from tests.helpers.recording import MakeFolder, ready

RAMP = np.linspace(0.0, 1.0, 64, dtype=np.float32).reshape(8, 8)


def tiff(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path, "TIFF")
    return path


def with_pixel(values: np.ndarray, value: float) -> np.ndarray:
    values = values.copy()
    values[3, 4] = value
    return values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((8, 8), np.nan, np.float32), "64 of its 64"),
        (with_pixel(RAMP, np.nan), "1 of its 64"),
        (with_pixel(RAMP, np.inf), "1 of its 64"),
        (with_pixel(RAMP, -np.inf), "1 of its 64"),
        (RAMP * 2 - 1, " -1"),
        (RAMP * -1e6, " -1e+06"),
        ((RAMP * 1000 - 9000).astype(np.int32), " -9000"),
        (with_pixel(RAMP, 1e30), "black"),
        (with_pixel(RAMP * 255, 1e9), "black"),
        (with_pixel((RAMP * 255).astype(np.int32), 2e9), "black"),
    ],
)
def test_values_that_mean_no_picture_are_rejected(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    assert reason in reason_of(tiff(tmp_path / "a.tif", values))


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.04, 1.04), (0.0, 0.6)])
def test_ringing_does_not_change_where_white_is(
    tmp_path: Path, white: float, low: float, high: float
) -> None:
    values = (low + (high - low) * RAMP) * white
    pixels = decode_image(tiff(tmp_path / "a.tif", values.astype(np.float32)), 8)
    expected = np.rint((low + (high - low) * RAMP).clip(0, 1) * 255)
    np.testing.assert_allclose(pixels[0], expected, atol=1)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 7.0])
def test_images_of_one_value_are_pictures(tmp_path: Path, value: float) -> None:
    pixels = decode_image(tiff(tmp_path / "a.tif", np.full((8, 8), value, np.float32)), 8)
    assert (pixels == round(value * 255 if value <= 1 else value)).all()


def test_large_numbers_are_scaled_by_their_peak(tmp_path: Path) -> None:
    pixels = decode_image(tiff(tmp_path / "a.tif", RAMP * np.float32(3e6)), 8)
    np.testing.assert_array_equal(pixels[0], np.rint(RAMP * 255))


def test_they_are_listed_and_not_trained_on(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 12})
    tiff(root / "a" / "nan.tif", with_pixel(RAMP, np.nan))
    module = ready(root)
    assert len(module.train_labels) + len(module.val_labels) == 12
    assert module._data is not None
    assert module._data.report is not None
    assert "a/nan.tif\t1 of its 64" in module._data.report.read_text()
