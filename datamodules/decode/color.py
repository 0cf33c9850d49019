"""Images of any mode as 8-bit sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_WHITES = {"F": ((1.0, 2.0), (255.0, 320.0), (65535.0, 80000.0)), "I": ((65535.0, 65535.0),)}
"""What white may be, and the brightest pixel that it is taken for: floats that were resized ring, and 1.01
must not make 255 the white of a picture."""

_UNDERSHOOT = 0.1  # of white
_HIDDEN = 0.95  # share of the pixels that must not all be black next to the brightest one


class PixelError(ValueError):
    """Pixels whose values mean no picture; the message says why."""


def plain(image: Image.Image) -> Image.Image:
    """Bring an image into a mode that can be resized: L, LA, RGB, RGBA, CMYK or LAB.

    Palettes are looked up and a transparent color becomes an alpha channel. Gray of more than 8 bits is
    scaled: white is 65535 for 16-bit modes; 32-bit integers and floats do not say where white is, so it is
    the first of 1 (floats only), 255 (floats only) and 65535 that no pixel exceeds by far, else the brightest
    pixel. Color of 16 bits a channel has its upper 8 bits taken by Pillow already.

    Raises:
        PixelError: Values are not numbers, are well below 0, or so large that all others are black.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_gray_to_8_bit(image)
    if image.mode in ("1", "L"):
        return image.convert("LA" if image.has_transparency_data else "L")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode in ("LA", "CMYK", "LAB"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def to_srgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Convert a plain image to sRGB by its color profile, and lay it on a background.

    A profile that is damaged, or is for other channels than the image has, counts for nothing. Without one,
    RGB and gray are taken for sRGB, and CMYK is converted by Pillow's formula.

    Args:
        image: Of a mode that `plain` gives; the profile is in its `info`.
        background: RGB color (0 to 255) under transparent pixels.

    Returns:
        The image, of mode RGB.
    """
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colors = image.convert(image.mode.removesuffix("A")) if alpha else image
    profile = image.info.get("icc_profile")
    transform = _profile_to_srgb(profile, colors.mode) if profile else None
    if transform is None and colors.mode == "LAB":
        transform = _profile_to_srgb(None, "LAB")
    rgb = ImageCms.applyTransform(colors, transform) if transform else colors.convert("RGB")
    assert rgb is not None  # only None when the transform is applied in place
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, background), alpha)


@lru_cache(maxsize=32)
def _profile_to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile (None: CIELAB) to sRGB; None if the profile does not fit."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,  # what is inside sRGB keeps its color
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None


def _deep_gray_to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    strange = int(np.count_nonzero(~np.isfinite(values)))
    if strange:
        raise PixelError(f"{strange:,} of its {values.size:,} pixels are not numbers (NaN or infinite)")
    peak, lowest = float(values.max(initial=0.0)), float(values.min(initial=0.0))
    whites = _WHITES["F" if image.mode == "F" else "I"]
    white = next((white for white, highest in whites if peak <= highest), peak)
    if lowest < -_UNDERSHOOT * white:
        raise PixelError(f"its values go down to {lowest:g}: bring them to 0 to {white:g} first")
    if white == peak and np.quantile(values, _HIDDEN) < white / 255.0:
        raise PixelError(f"its brightest value, {peak:g}, leaves next to all of it black")
    gray = Image.fromarray(np.rint(values.clip(0.0, white) * (255.0 / white)).astype(np.uint8))
    gray.info = image.info
    return gray
