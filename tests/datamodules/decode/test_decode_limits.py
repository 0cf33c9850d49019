"""What is no image, or none to train on, and what changes underneath."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.decode import decode
from datamodules.decode.decode import ChangedFileError, ImageError, Limits, decode_image
from tests.helpers.image_files import RED, corners, noise, quadrants, reason_of, save


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (bytes(5000), "zeros"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"\xef\xbb\xbf\n<HTML lang=en>", "web page"),
        (b'<?xml version="1.0"?><svg/>', "XML"),
        (b'{"error": "rate limited"}', "JSON"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\xff\xd8", "format"),
        (b"just words", "format"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason in reason_of(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((1, 1), r"\b1 x 1 .*\b4\b"),
        ((1, 20_000), r"\b1 x 20000 .*\b4\b"),
        ((5_000, 5), r"\b5000 x 5 .*\b20\b"),
    ],
)
def test_specks_and_strips_are_refused_unless_let_in(
    tmp_path: Path, size: tuple[int, int], reason: str
) -> None:
    path = save(Image.new("RGB", size, RED), tmp_path / "a.png", "PNG")
    assert re.search(reason, reason_of(path))
    pixels = decode_image(path, 8, limits=Limits(min_side=1, max_aspect=1e9))
    assert (pixels == np.array(RED, np.uint8)[:, None, None]).all()


def test_sides_at_the_limits_pass(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (80, 4)), tmp_path / "a.png", "PNG")
    assert decode_image(path, 8).shape == (3, 8, 8)
    assert "below" in reason_of(path, Limits(min_side=5))
    assert "above" in reason_of(path, Limits(max_aspect=19.9))


def test_a_higher_limit_raises_pillows_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = save(quadrants(96, 64), tmp_path / "a.png", "PNG")
    monkeypatch.setattr(decode, "_let_pass", lambda _: None)
    assert "Pillow" in reason_of(path)
    monkeypatch.undo()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode_image(path, 8).shape == (3, 8, 8)


def test_padding_keeps_the_whole_image(tmp_path: Path) -> None:
    for size, turn in (((96, 48), None), ((48, 96), Image.Transpose.ROTATE_90)):
        image = Image.new("RGB", (96, 48), RED)
        save(image.transpose(turn) if turn is not None else image, tmp_path / "a.png", "PNG")
        pixels = decode_image(tmp_path / "a.png", 16, background=(0, 0, 9), pad=True)
        red = (pixels == np.array(RED, np.uint8)[:, None, None]).all(axis=0)
        bars = (pixels == np.array((0, 0, 9), np.uint8)[:, None, None]).all(axis=0)
        assert (red | bars).all()
        assert red.sum() == 16 * 8
        assert red.any(axis=int(size[0] > size[1])).sum() == 8


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_large_image_is_reduced_to_what_it_looks_like(tmp_path: Path, file_format: str) -> None:
    path = save(quadrants(3000, 2000), tmp_path / "a", file_format)
    for found, wanted in zip(
        corners(decode_image(path, 16)),
        corners(decode_image(save(quadrants(), path, "PNG"), 16)),
        strict=True,
    ):
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 3


# Files that change after they were indexed


def content_hash(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


def test_content_that_was_indexed_is_decoded(tmp_path: Path) -> None:
    path = save(quadrants(), tmp_path / "a.png", "PNG")
    np.testing.assert_array_equal(
        decode_image(path, 8, content_hash=content_hash(path)), decode_image(path, 8)
    )


def test_content_that_changed_is_refused(tmp_path: Path) -> None:
    path = save(quadrants(), tmp_path / "a.png", "PNG")
    indexed = content_hash(path)
    noise(path, "PNG")
    with pytest.raises(ChangedFileError, match="changed"):
        decode_image(path, 8, content_hash=indexed)
    path.unlink()
    with pytest.raises(ChangedFileError, match="vanished"):
        decode_image(path, 8, content_hash=indexed)
    with pytest.raises(ImageError, match="no such file") as caught:
        decode_image(path, 8)
    assert not isinstance(caught.value, ChangedFileError)


def test_content_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(quadrants(), tmp_path / "a.png", "PNG")
    to_square = decode._to_square

    def while_it_changes(*args: object) -> object:
        with path.open("ab") as file:
            file.write(b"more")
        return to_square(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "_to_square", while_it_changes)
    with pytest.raises(ChangedFileError, match="while"):
        decode_image(path, 8, content_hash=content_hash(path))


def test_a_pipe_in_the_place_of_an_image_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert "regular" in reason_of(tmp_path / "a.jpg")


# What lies beside the pixels


def png_with(path: Path, **chunks: bytes) -> Path:
    """A PNG of quadrants with further chunks behind its header."""
    file = io.BytesIO()
    quadrants().save(file, "PNG")
    content = file.getvalue()
    header = 8 + 25
    further = b"".join(
        struct.pack(">I", len(data))
        + name.encode()
        + data
        + struct.pack(">I", zlib.crc32(name.encode() + data))
        for name, data in chunks.items()
    )
    path.write_bytes(content[:header] + further + content[header:])
    return path


WORKFLOW = b'{"node": 1}' * 300_000  # 3.3 MB
LARGE = {
    "tEXt": b"workflow\0" + WORKFLOW,
    "zTXt": b"workflow\0\0" + zlib.compress(WORKFLOW),
    "iTXt": b"workflow\0\1\0\0\0" + zlib.compress(WORKFLOW),
    "iCCP": b"profile\0\0" + zlib.compress(bytes(3_000_000)),
    "eXIf": b"MM\0*" + bytes(3_000_000),
    "prVt": WORKFLOW,
}


@pytest.mark.parametrize("chunk", LARGE)
def test_megabytes_beside_the_pixels_do_not_cost_the_image(tmp_path: Path, chunk: str) -> None:
    path = png_with(tmp_path / "a.png", **{chunk: LARGE[chunk]})
    np.testing.assert_array_equal(
        decode_image(path, 16), decode_image(save(quadrants(), tmp_path / "b.png", "PNG"), 16)
    )


@pytest.mark.parametrize("chunk", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_the_limit_of_what_lies_beside_is_ours(tmp_path: Path, chunk: str) -> None:
    path = png_with(tmp_path / "a.png", **{chunk: LARGE[chunk]})
    assert "max_metadata" in reason_of(path, Limits(max_metadata=10_000))
    assert decode_image(path, 16).shape == (3, 16, 16)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_megabytes_of_metadata_in_other_formats(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "a"
    quadrants().save(path, file_format, icc_profile=bytes(3_000_000))
    assert decode_image(path, 16).shape == (3, 16, 16)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "group4"])
def test_libtiff_says_nothing_to_the_terminal(
    tmp_path: Path, compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It writes past Python, to the process's own standard error."""
    path = tmp_path / "a.tif"
    image = Image.effect_noise((40, 40), 90)
    (image.convert("1") if compression == "group4" else image).save(path, "TIFF", compression=compression)
    content = path.read_bytes()
    for start in range(8, len(content), 7):
        path.write_bytes(content[:start] + bytes(5) + content[start + 5 :])
        with contextlib.suppress(ImageError):
            decode_image(path, 8)
    assert capfd.readouterr() == ("", "")
