"""One image file as an RGB uint8 square."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from datamodules.decode.color import PixelError, plain, to_srgb
from datamodules.decode.quiet import no_warnings, silence_libtiff
from datamodules.index.hashing import digest, open_regular, stamp_of

TRANSFORM_VERSION = 3
"""Part of every cache key: raise it whenever `decode_image` gives other pixels for the same file."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""Tried regardless of the extension: web servers name any of them `.jpg`. Never an interpreter such as EPS.
JPEG includes MPO, a JPEG with further pictures behind the first."""

_REDUCING_GAP = 3.0
"""A large image is first averaged down to three times the wanted size, which the resize cannot tell."""

ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image of each EXIF orientation upright."""

_NOT_IMAGES = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML text (SVG is not read)"),
    (b"<svg", "an SVG drawing"),
    (b"{", "a JSON text"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the real file with `git lfs pull`"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"%!ps", "a PostScript document"),
)
"""What the files of people who downloaded images begin with, in lower case."""


class Limits(NamedTuple):
    """Which images are too large or too small to be of use.

    Attributes:
        max_pixels: Largest width x height that is decoded. The default takes about 400 MB as RGB, and is more
            than any telephone's camera makes.
        min_side: Smallest width and height. Below the default it is a spacer or a tracking pixel.
        max_aspect: Largest ratio of the sides, either way. Above the default a square cut out of it shows
            next to nothing.
        max_metadata: Largest size in bytes of a PNG's texts, or of its color profile, once unpacked.
            Programs that generate images write whole workflows there, of some megabytes.
    """

    max_pixels: int = 128 * 2**20
    min_side: int = 4
    max_aspect: float = 20.0
    max_metadata: int = 128 * 2**20


class ImageError(ValueError):
    """A file that cannot be decoded.

    Args:
        path: The file.
        reason: What is wrong with it, in one line.
    """

    def __init__(self, path: Path, reason: str) -> None:
        # Both in `args`: the error must survive the way back from a worker process.
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ChangedFileError(ImageError):
    """A file that vanished, or has another content than when the folder was indexed. Index it again."""


def decode_image(
    path: Path,
    size: int,
    background: tuple[int, int, int] = (255, 255, 255),
    limits: Limits = Limits(),  # noqa: B008 -- a named tuple cannot change
    pad: bool = False,
    content_hash: bytes | None = None,
) -> npt.NDArray[np.uint8]:
    """Decode a file, cut out its central square and resize that once, antialiased.

    Orientation from EXIF is applied; palette, gray, CMYK, CIELAB, 16-bit, 1-bit and transparent images become
    sRGB, by their color profile if they have one; an animation gives its first frame.

    Args:
        path: The file; its content decides the format, not its ending.
        size: Side of the result in pixels.
        background: RGB color (0 to 255) under transparent pixels and around a padded image.
        limits: What is refused for its size, before it is decoded.
        pad: Keep the whole image and make it square with bars of `background`, instead of cutting.
        content_hash: BLAKE2b-128 that the content must have.

    Returns:
        RGB image, uint8 of shape (3, size, size).

    Raises:
        ChangedFileError: The content is not the one asked for.
        ImageError: The file cannot be read, is no image, is damaged or cut short, or is beyond the limits.
    """
    with open_image(path, limits, content_hash) as image:
        return _to_square(image, size, background, pad)


@contextmanager
def open_image(path: Path, limits: Limits, content_hash: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image within limits, not decoded yet, and turn anything that goes wrong into `ImageError`.

    Args:
        path: The file.
        limits: What is refused for its size.
        content_hash: BLAKE2b-128 that the content must have, also at the end of the block.

    Raises:
        ChangedFileError: The content is not the one asked for.
        ImageError: See `decode_image`. It is also raised for what fails inside the block.
    """
    _let_pass(limits)
    silence_libtiff()
    try:
        # What a decoder warns of is harmless or followed by an error, and the size is checked here.
        with no_warnings(), open_regular(path) as file:
            before = stamp_of(os.fstat(file.fileno()))
            if content_hash is not None and digest(file) != content_hash:
                raise ChangedFileError(path, "its content changed after the folder was indexed")
            file.seek(0)
            with Image.open(file, formats=_FORMATS) as image:
                _check(path, image.size, limits)
                yield image
            if content_hash is not None and stamp_of(os.fstat(file.fileno())) != before:
                raise ChangedFileError(path, "its content changed while it was decoded")
    except ImageError:
        raise
    except FileNotFoundError as error:
        if content_hash is None:
            raise ImageError(path, _reason(path, error)) from error
        raise ChangedFileError(path, "it vanished after the folder was indexed") from error
    except Exception as error:  # on damaged bytes decoders raise anything: struct.error, KeyError ...
        raise ImageError(path, _reason(path, error)) from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the image is looked at, its EXIF orientation applied."""
    turned = orientation(image) >= 5
    return (image.height, image.width) if turned else image.size


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; 1 if it is missing or damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a photograph with damaged metadata is still a photograph
        return 1


def _to_square(
    image: Image.Image, size: int, background: tuple[int, int, int], pad: bool
) -> npt.NDArray[np.uint8]:
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for almost nothing. Twice the wanted side is left for the resize.
    drafted = image.draft(None, (2 * size, 2 * size))
    image.load()
    width, height = drafted[1][2:] if drafted else image.size
    turn = ORIENTATIONS.get(orientation(image))
    shorter, longer = min(width, height), max(width, height)
    if pad:
        box = (0.0, 0.0, width, height)
        inner = max(1, round(size * width / longer)), max(1, round(size * height / longer))
    else:
        left, top = (width - shorter) / 2, (height - shorter) / 2
        box = (left, top, left + shorter, top + shorter)
        inner = size, size
    resized = plain(image).resize(inner, Image.Resampling.BICUBIC, box, reducing_gap=_REDUCING_GAP)
    # Colors are converted after the resize, where there are fewer of them. The profile travels in `info`.
    square = to_srgb(resized, background)
    if inner != (size, size):
        bars = Image.new("RGB", (size, size), background)
        bars.paste(square, ((size - inner[0]) // 2, (size - inner[1]) // 2))
        square = bars
    if turn is not None:  # at the end: the square turns about its own center
        square = square.transpose(turn)
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def _let_pass(limits: Limits) -> None:
    """Put these limits in the place of Pillow's own, which are the process's."""
    if Image.MAX_IMAGE_PIXELS is not None and limits.max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = limits.max_metadata


def _check(path: Path, size: tuple[int, int], limits: Limits) -> None:
    shown = f"{size[0]} x {size[1]} pixels"
    if size[0] * size[1] > limits.max_pixels:
        raise ImageError(path, f"{shown} are more than the limit of {limits.max_pixels:,}")
    if min(size) < limits.min_side:
        raise ImageError(path, f"{shown}: a side is below the limit of {limits.min_side}")
    if max(size) > limits.max_aspect * min(size):
        raise ImageError(path, f"{shown}: the sides' ratio is above the limit of {limits.max_aspect:g}")


def _reason(path: Path, error: Exception) -> str:
    """One plain line for an exception raised by the operating system or by Pillow."""
    if isinstance(error, UnidentifiedImageError):
        return _what_it_is(path)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PixelError):
        return text
    if "MAX_TEXT" in text:
        return "its texts or its color profile are above the limit of --data.limits.max_metadata"
    if isinstance(error, Image.DecompressionBombError):
        return f"more pixels than Pillow's own limit: {text}"
    if "truncated" in text.lower():
        return f"the file is cut short ({text})"
    return f"the file is damaged ({text})"


def _what_it_is(path: Path) -> str:
    """Why no decoder knows a file, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "the file is empty"
    if not start.strip(b"\0"):
        return "the file holds zeros: it was never written to the end"
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "a HEIC photograph: convert it to JPEG first"
    begin = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, name in _NOT_IMAGES:
        if begin.startswith(magic):
            return f"not an image: {name}"
    return f"not an image in a known format ({', '.join(_FORMATS)})"
