"""One image file as an RGB uint8 square."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

TRANSFORM_VERSION = 1
"""Part of every cache key: raise it whenever `decode_image` gives other pixels for the same file."""

MAX_PIXELS = 128 * 2**20
"""Largest width x height that is decoded: about 400 MB as RGB, above what any telephone camera makes."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""Tried whatever the ending says: web pages serve any of them as `.jpg`. Never an interpreter such as EPS."""

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A file that cannot be decoded.

    Args:
        path: The file.
        reason: What is wrong with it, in one line.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            path, reason
        )  # both in `args`: the error must survive the way back from a worker process
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def decode_image(
    path: Path,
    size: int,
    background: tuple[int, int, int] = (255, 255, 255),
    max_pixels: int = MAX_PIXELS,
    pad: bool = False,
) -> npt.NDArray[np.uint8]:
    """Decode a file, cut out its central square and resize that once, antialiased.

    Orientation from EXIF is applied; palette, grey, CMYK, 16-bit, 1-bit and transparent images become RGB; an
    animation gives its first frame. Colour profiles are not applied.

    Args:
        path: The file; its content decides the format, not its ending.
        size: Side of the result in pixels.
        background: RGB colour (0 to 255) under transparent pixels.
        max_pixels: Refuse an image with more pixels than this before decoding it.
        pad: Keep the whole image and make it square with bars of `background`, instead of cutting.

    Returns:
        RGB image, uint8 of shape (3, size, size).

    Raises:
        ImageError: The file cannot be read, is no image, is damaged or cut short, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            # What a decoder warns of is harmless or followed by an error; the size is checked below.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(path, _too_large(image.size, max_pixels))
                return _to_square(image, size, background, pad)
    except ImageError:
        raise
    except (
        Exception
    ) as error:  # decoders fail in any way on damaged bytes: struct.error, KeyError, SyntaxError ...
        raise ImageError(path, _reason(path, error)) from error


def _to_square(
    image: Image.Image, size: int, background: tuple[int, int, int], pad: bool
) -> npt.NDArray[np.uint8]:
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for almost nothing. Twice the wanted side is left for the resize.
    drafted = image.draft(None, (2 * size, 2 * size))
    image.load()
    width, height = drafted[1][2:] if drafted else image.size
    orientation = _orientation(image)
    rgb = _to_rgb(image, background)
    square = (_padded if pad else _cut)(rgb, width, height, size, background)
    if orientation in _ORIENTATIONS:  # after the resize: the square turns about its own centre
        square = square.transpose(_ORIENTATIONS[orientation])
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def _cut(
    rgb: Image.Image, width: float, height: float, size: int, background: tuple[int, int, int]
) -> Image.Image:
    """The central square; the image is `width` x `height`, to a fraction of a pixel."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return rgb.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def _padded(
    rgb: Image.Image, width: float, height: float, size: int, background: tuple[int, int, int]
) -> Image.Image:
    """The whole image in the middle of a square of `background`."""
    scale = size / max(width, height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    whole = rgb.resize(inner, Image.Resampling.BICUBIC, box=(0, 0, width, height))
    square = Image.new("RGB", (size, size), background)
    square.paste(whole, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return square


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a photograph with damaged metadata is still a photograph
        return 1


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_8_bit(image).convert("RGB")
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image
        rgba = straight.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*background, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")


def _deep_grey_to_8_bit(image: Image.Image) -> Image.Image:
    """Scale grey of more than 8 bits to 0..255, where Pillow's own conversion clips.

    White is 65535 for 16-bit modes. 32-bit integers and floats do not say where white is: it is taken as the
    first of 1 (floats only), 255 (floats only) and 65535 that no pixel exceeds, else as the brightest pixel.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    peak = float(values.max(initial=0.0))
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((candidate for candidate in whites if peak <= candidate), peak)
    return Image.fromarray(np.rint(values.clip(0.0) * (255.0 / white)).astype(np.uint8))


def _too_large(size: tuple[int, int], max_pixels: int) -> str:
    return f"{size[0]} x {size[1]} pixels are more than the limit of {max_pixels:,}"


def _reason(path: Path, error: Exception) -> str:
    """One plain line for an exception raised by the operating system or by Pillow."""
    if isinstance(error, UnidentifiedImageError):
        if path.stat().st_size == 0:
            return "the file is empty"
        return f"not an image in a known format ({', '.join(_FORMATS)})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return f"more pixels than Pillow's own limit: {text}"
    if "truncated" in text.lower():
        return f"the file is cut short ({text})"
    return f"the file is damaged ({text})"
