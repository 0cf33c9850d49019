from __future__ import annotations

import io
import itertools
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decode.decode import decode_image
from tests.helpers.icc import ADOBE_RGB, SRGB, cmyk_profile, gray_profile, rgb_profile, to_srgb
from tests.helpers.image_files import BLUE, GREEN, RED, assert_color, corners

COLORS = [(200, 30, 40), (20, 200, 60), (40, 50, 210), (128, 128, 128), (250, 220, 30), (90, 60, 30)]


def color_of(path: Path, background: tuple[int, int, int] = (255, 255, 255)) -> tuple[int, ...]:
    return corners(decode_image(path, 8, background))[0]


# Color profiles


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("color", COLORS)
def test_profile_is_converted_to_srgb(tmp_path: Path, color: tuple[int, int, int], file_format: str) -> None:
    profile = rgb_profile(ADOBE_RGB, 2.19921875)
    options = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100},
    }
    Image.new("RGB", (16, 16), color).save(
        tmp_path / "a", file_format, icc_profile=profile, **options.get(file_format, {})
    )
    wanted = to_srgb(color, ADOBE_RGB, 2.19921875)
    assert np.abs(np.array(color_of(tmp_path / "a")) - wanted).max() <= (6 if file_format == "AVIF" else 3)


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for color in COLORS:
        Image.new("RGB", (8, 8), color).save(tmp_path / "a.png", icc_profile=profile)
        assert_color(color_of(tmp_path / "a.png"), color, tolerance=1)


def test_profile_applies_under_transparency_and_palettes(tmp_path: Path) -> None:
    swapped = rgb_profile(SRGB[[1, 0, 2]], 2.2)  # its red is green
    Image.new("RGBA", (8, 8), (255, 0, 0, 255)).save(tmp_path / "whole.png", icc_profile=swapped)
    assert_color(color_of(tmp_path / "whole.png"), (0, 255, 0))
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "none.png", icc_profile=swapped)
    assert color_of(tmp_path / "none.png", BLUE) == BLUE
    palette = Image.new("P", (8, 8))
    palette.putpalette([255, 0, 0])
    palette.save(tmp_path / "palette.png", icc_profile=swapped)
    assert_color(color_of(tmp_path / "palette.png"), (0, 255, 0))


def test_gray_profile(tmp_path: Path) -> None:
    linear = gray_profile(1.0)
    Image.new("L", (8, 8), 128).save(tmp_path / "a.png", icc_profile=linear)
    assert_color(color_of(tmp_path / "a.png"), (188,) * 3)
    Image.new("LA", (8, 8), (128, 255)).save(tmp_path / "b.png", icc_profile=linear)
    assert_color(color_of(tmp_path / "b.png"), (188,) * 3)
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(tmp_path / "c.png", icc_profile=linear)
    assert_color(color_of(tmp_path / "c.png"), (188,) * 3)


def test_cmyk_profile_decides_what_the_inks_look_like(tmp_path: Path) -> None:
    inks = {c: (100.0 * (1 - c[3]) * (1 - 0.3 * sum(c[:3]) / 3), 0.0, 0.0) for c in np.ndindex(2, 2, 2, 2)}
    inks[0, 0, 0, 0], inks[1, 0, 0, 0] = (100.0, 0.0, 0.0), (50.0, 60.0, 40.0)  # its cyan is a red
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(
        tmp_path / "a.jpg", quality=100, icc_profile=cmyk_profile(inks)
    )
    red, green, blue = color_of(tmp_path / "a.jpg")
    assert red > green + 80
    assert red > blue + 80
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "b.jpg", quality=100)
    assert_color(color_of(tmp_path / "b.jpg"), (0, 255, 255), tolerance=3)


@pytest.mark.parametrize(
    "profile", [b"garbage", rgb_profile(ADOBE_RGB, 2.2)[:200], gray_profile(1.0)], ids=["text", "cut", "gray"]
)
def test_profile_that_does_not_fit_counts_for_nothing(tmp_path: Path, profile: bytes) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "a.png", icc_profile=profile)
    assert color_of(tmp_path / "a.png") == RED


def test_threads_decode_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", icc_profile=rgb_profile(ADOBE_RGB, 2.2))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: decode_image(tmp_path / "a.jpg", 32), range(64)))
    for one, two in itertools.pairwise(results):
        np.testing.assert_array_equal(one, two)


# JPEG color models


def test_ycck_jpeg(tmp_path: Path) -> None:
    """Adobe's transform 2: Y, Cb and Cr of the three inks taken for red, green and blue, and K inverted."""
    luma, blue, red = round(0.701 * 255), round(128 + 0.168736 * 255), 0  # no cyan, full magenta and yellow
    stored = Image.new("CMYK", (16, 16), tuple(255 - value for value in (luma, blue, red, 255)))
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=100, subsampling=0)
    data = bytearray(file.getvalue())
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    (tmp_path / "a.jpg").write_bytes(data)
    assert_color(color_of(tmp_path / "a.jpg"), (255, 0, 0), tolerance=3)


def test_progressive_jpeg_looks_like_the_baseline_one(tmp_path: Path) -> None:
    y, x = np.mgrid[:200, :300] / 40.0
    wave = np.stack([127.5 + 100 * np.sin(x + i + y**2) for i in range(3)], axis=2).astype(np.uint8)
    for name, progressive in (("base.jpg", False), ("progressive.jpg", True)):
        Image.fromarray(wave).save(tmp_path / name, quality=95, progressive=progressive)
    base, progressive = (decode_image(tmp_path / name, 32) for name in ("base.jpg", "progressive.jpg"))
    assert np.abs(base.astype(int) - progressive).max() <= 1


def test_mpo_gives_its_first_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in (RED, GREEN)]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:], quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    assert_color(color_of(tmp_path / "a.jpg"), RED, tolerance=6)


# Deep color


def png(width: int, height: int, depth: int, kind: int, row: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = zlib.compress((b"\0" + row) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        (2, (40_000, 10_000, 65_535), (156, 39, 255)),
        (6, (40_000, 10_000, 65_535, 65_535), (156, 39, 255)),
        (6, (40_000, 10_000, 65_535, 0), (255, 255, 255)),
        (4, (40_000, 65_535), (156,) * 3),
        (4, (40_000, 0), (255,) * 3),
    ],
    ids=["RGB", "RGBA", "RGBA-clear", "LA", "LA-clear"],
)
def test_sixteen_bit_png(tmp_path: Path, kind: int, values: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    (tmp_path / "a.png").write_bytes(png(8, 8, 16, kind, struct.pack(f">{len(values)}H", *values) * 8))
    assert_color(color_of(tmp_path / "a.png"), wanted, tolerance=1)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gray_png_of_few_bits(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.png").write_bytes(png(8, 8, depth, 0, b"\xff" * depth))
    assert color_of(tmp_path / "a.png") == (255, 255, 255)


def tiff(order: str, photometric: int, values: tuple[int, ...], depth: int) -> bytes:
    """An uncompressed 8 x 8 TIFF of one color, in either byte order."""
    code = {8: "B", 16: "H"}[depth]
    data = struct.pack(f"{order}{len(values)}{code}", *values) * 64
    count = len(values)
    bits_at = 8 + len(data)
    tags = [
        (256, 3, 1, 8),
        (257, 3, 1, 8),
        (258, 3, count, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
    ]
    tags += [(273, 4, 1, 8), (277, 3, 1, count), (278, 3, 1, 8), (279, 4, 1, len(data))]
    bits = struct.pack(f"{order}{count}H", *[depth] * count) + bytes(-2 * count % 4)
    entries = struct.pack(f"{order}H", len(tags))
    for tag, kind, number, value in tags:
        small = (
            struct.pack(f"{order}HH", value, 0)
            if kind == 3 and number == 1
            else struct.pack(f"{order}I", value)
        )
        entries += struct.pack(f"{order}HHI", tag, kind, number) + small
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", bits_at + len(bits)) + data + bits + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_rgb_tiff_of_either_byte_order(tmp_path: Path, order: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(order, 2, (40_000, 10_000, 65_535), 16))
    assert_color(color_of(tmp_path / "a.tif"), (156, 39, 255), tolerance=1)


def test_cielab_tiff(tmp_path: Path) -> None:
    lightness, a, b = 136, 208, 195  # CIELAB (53.3, 80, 67), which is sRGB red, as bytes
    (tmp_path / "a.tif").write_bytes(tiff("<", 8, (lightness, a - 128, b - 128), 8))
    assert_color(color_of(tmp_path / "a.tif"), (255, 0, 0), tolerance=12)  # 8 bits of CIELAB are coarse


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"]
)
def test_tiff_compressions(tmp_path: Path, compression: str) -> None:
    image = Image.new("RGB", (32, 32), RED)
    if compression == "group4":
        image = Image.new("1", (32, 32), 1)
    image.save(tmp_path / "a.tif", compression=compression)
    wanted = (255, 255, 255) if compression == "group4" else RED
    assert_color(color_of(tmp_path / "a.tif"), wanted, tolerance=6)
