from __future__ import annotations

import contextlib
import errno
import os
import pickle
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decode.decode import ImageError, Limits, decode_image
from tests.helpers.image_files import (
    BLUE,
    GRAY,
    GREEN,
    RED,
    assert_color,
    corners,
    noise,
    quadrants,
    reason_of,
    save,
)


def test_result_is_a_contiguous_uint8_square_of_channels_first(tmp_path: Path) -> None:
    pixels = decode_image(save(quadrants(), tmp_path / "a.png", "PNG"), 16)
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    for found, wanted in zip(corners(pixels), (RED, GREEN, BLUE, GRAY), strict=True):
        assert_color(found, wanted)


STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_gives_the_same_picture(
    tmp_path: Path, orientation: int, file_format: str
) -> None:
    turn = STORED[orientation]
    shown = quadrants()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(shown.transpose(turn) if turn is not None else shown, tmp_path / "a", file_format, exif)
    pixels = decode_image(path, 16)
    for found, wanted in zip(corners(pixels), (RED, GREEN, BLUE, GRAY), strict=True):
        assert_color(found, wanted, tolerance=3)


def test_damaged_exif_does_not_cost_the_photograph(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    quadrants().save(path, quality=95, exif=b"Exif\0\0MM\0*\0\0\0\xffgarbage")
    assert_color(corners(decode_image(path, 16))[0], RED, tolerance=6)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_formats_are_known_by_content_under_any_name(tmp_path: Path, file_format: str) -> None:
    path = save(Image.new("RGB", (20, 20), RED), tmp_path / "A.JPG", file_format)
    assert_color(corners(decode_image(path, 4))[0], RED, tolerance=6)  # GIF has its own palette


def test_centre_is_cut_out_of_wide_and_tall_images(tmp_path: Path) -> None:
    wide = Image.new("RGB", (90, 30), RED)
    wide.paste(GREEN, (30, 0, 60, 30))
    for image in (wide, wide.transpose(Image.Transpose.ROTATE_90)):
        pixels = decode_image(save(image, tmp_path / "a.png", "PNG"), 10).astype(int)
        distance = np.abs(pixels - np.array(GREEN)[:, None, None])
        assert distance.max() < 20  # at the border the filter sees a little of what lies beyond it
        assert distance[:, 1:-1, 1:-1].max() <= 2


def test_resize_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    pixels = decode_image(tmp_path / "a.png", 8).astype(int)
    assert np.abs(pixels - 127.5).max() < 6  # a resize without filter would pick black or white


def test_jpeg_decoded_at_reduced_scale_looks_like_the_full_one(tmp_path: Path) -> None:
    y, x = np.mgrid[:517, :771] / 100.0
    wave = (127.5 + 100 * np.sin(x + y**2)).astype(np.uint8)
    Image.fromarray(wave).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(wave).save(tmp_path / "a.png")
    drafted, full = decode_image(tmp_path / "a.jpg", 32), decode_image(tmp_path / "a.png", 32)
    difference = np.abs(drafted.astype(int) - full.astype(int))
    assert difference[:, 1:-1, 1:-1].max() <= 4
    assert difference.max() <= 12  # 517 is no multiple of the reduction: the last row is a padded block


def test_small_images_are_enlarged(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (1, 1), BLUE), tmp_path / "a.png", "PNG")
    assert_color(corners(decode_image(path, 8, limits=Limits(min_side=1)))[3], BLUE, tolerance=0)


def test_gray_becomes_three_equal_channels(tmp_path: Path) -> None:
    for file_format in ("JPEG", "PNG"):
        path = save(Image.new("L", (8, 8), 77), tmp_path / "a", file_format)
        assert_color(corners(decode_image(path, 4))[0], (77, 77, 77), tolerance=1)


def test_one_bit(tmp_path: Path) -> None:
    image = Image.new("1", (8, 8), 0)
    image.paste(1, (0, 0, 8, 4))
    image.save(tmp_path / "a.png")
    above, _, below, _ = corners(decode_image(tmp_path / "a.png", 8))
    assert (above, below) == ((255, 255, 255), (0, 0, 0))


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (96, 64))
    image.putpalette([*RED, *GREEN, *BLUE, *GRAY])
    for entry, corner in enumerate(((0, 0), (48, 0), (0, 32), (48, 32))):
        image.paste(entry, (*corner, corner[0] + 48, corner[1] + 32))
    image.save(tmp_path / "a.png")
    pixels = decode_image(tmp_path / "a.png", 16)
    for found, wanted in zip(corners(pixels), (RED, GREEN, BLUE, GRAY), strict=True):
        assert_color(found, wanted)


def test_transparent_palette_entry_shows_the_background(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([*RED, *GREEN])
    image.paste(1, (0, 0, 8, 4))
    image.save(tmp_path / "one.png", transparency=0)
    image.save(tmp_path / "all.png", transparency=bytes([0, 128]))
    image.save(tmp_path / "one.gif", transparency=0)
    for name in ("one.png", "one.gif"):
        above, _, below, _ = corners(decode_image(tmp_path / name, 8, background=BLUE))
        assert (above, below) == (GREEN, BLUE)
    above, _, below, _ = corners(decode_image(tmp_path / "all.png", 8, background=BLUE))
    assert_color(above, tuple((a + b) // 2 for a, b in zip(GREEN, BLUE, strict=True)))
    assert below == BLUE


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_on_the_background(tmp_path: Path, file_format: str) -> None:
    image = Image.new("RGBA", (8, 8), (*RED, 255))
    image.paste((*RED, 0), (0, 4, 8, 8))
    path = save(image, tmp_path / "a", file_format)
    assert [corners(decode_image(path, 8))[i] for i in (0, 2)] == [RED, (255, 255, 255)]
    assert corners(decode_image(path, 8, background=BLUE))[2] == BLUE


def test_gray_with_alpha(tmp_path: Path) -> None:
    Image.new("LA", (8, 8), (0, 128)).save(tmp_path / "a.png")
    assert_color(corners(decode_image(tmp_path / "a.png", 4))[0], (127, 127, 127), tolerance=1)


def test_transparent_color_of_an_rgb_png(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "a.png", transparency=RED)
    assert corners(decode_image(tmp_path / "a.png", 4, background=GREEN))[0] == GREEN


def test_cmyk_red_is_red(tmp_path: Path) -> None:
    for file_format in ("JPEG", "TIFF"):
        path = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a", file_format)
        assert_color(corners(decode_image(path, 4))[0], (255, 0, 0), tolerance=3)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize(("value", "wanted"), [(0, 0), (257, 1), (32768, 128), (40000, 156), (65535, 255)])
def test_sixteen_bit_gray_is_scaled(tmp_path: Path, dtype: str, value: int, wanted: int) -> None:
    image = Image.fromarray(np.full((8, 8), value, dtype=dtype))
    for file_format in ("PNG", "TIFF"):
        path = save(image, tmp_path / "a", file_format)
        assert corners(decode_image(path, 4))[0] == (wanted,) * 3


def test_32_bit_integers_and_floats_are_scaled(tmp_path: Path) -> None:
    def first(array: np.ndarray) -> int:
        Image.fromarray(array).save(tmp_path / "a.tif")
        return corners(decode_image(tmp_path / "a.tif", 8))[0][0]

    half = np.ones((8, 8))
    assert first((32768 * half).astype(np.int32)) == 128
    assert first((0.5 * half).astype(np.float32)) == 128
    assert first((128 * half).astype(np.float32)) == 128
    bright = (100_000 * half).astype(np.int32)
    bright[:4] = 50_000
    assert first(bright) == 128
    assert first((-5 * half).astype(np.int32)) == 0


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, GREEN, BLUE)]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert_color(corners(decode_image(tmp_path / name, 4))[0], RED, tolerance=6)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_rejected(tmp_path: Path, file_format: str, share: float) -> None:
    path = tmp_path / "a.jpg"
    whole = noise(path, file_format)
    path.write_bytes(whole[: int(len(whole) * share)])
    assert any(word in reason_of(path) for word in ("cut short", "damaged", "known format"))


def test_empty_text_missing_and_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "folder.jpg").mkdir()
    assert "empty" in reason_of(tmp_path / "empty.jpg")
    assert "not an image" in reason_of(tmp_path / "text.jpg")
    assert "directory" in reason_of(tmp_path / "folder.jpg")
    assert "no such file" in reason_of(tmp_path / "missing.jpg")


def test_permission_denied_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("datamodules.decode.decode.open_regular", refuse)
    assert reason_of(tmp_path / "a.jpg") == os.strerror(errno.EACCES).lower()


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (100, 50)), tmp_path / "a.png", "PNG")
    assert re.search(r"\b100 x 50\b.*\b4,999\b", reason_of(path, Limits(max_pixels=4999)))
    assert decode_image(path, 8, limits=Limits(max_pixels=5000)).shape == (3, 8, 8)


@pytest.mark.parametrize("side", [12_000, 60_000])  # above this project's limit, and above Pillow's own
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")))
    assert "pixels" in reason_of(tmp_path / "a.png")


def test_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ImageError(Path("a.jpg"), "the file is empty")))
    assert (error.path, error.reason) == (Path("a.jpg"), "the file is empty")
    assert str(error) == "a.jpg: the file is empty"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_damaged_bytes_give_a_picture_or_an_image_error(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "a"
    whole = noise(path, file_format)
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 4):
            damaged[position] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(ImageError):
            assert decode_image(path, 8).shape == (3, 8, 8)


def test_files_as_people_have_them(tmp_path: Path) -> None:
    """With NINELIVES_TEST_IMAGES=FOLDER, whatever is in there: each gives a picture or a reason."""
    for file_format in ("JPEG", "PNG"):
        noise(tmp_path / f"a.{file_format.lower()}", file_format)
    folder = Path(os.environ.get("NINELIVES_TEST_IMAGES", tmp_path))
    decoded = 0
    for path in (path for path in folder.rglob("*.*") if path.is_file()):
        with contextlib.suppress(ImageError):
            pixels = decode_image(path, 16)
            assert (pixels.shape, pixels.dtype) == ((3, 16, 16), np.uint8)
            decoded += 1
    assert decoded
