"""Text in pictures, in any script that an installed font can write."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from datamodules.utils.text import ELLIPSIS, shortened

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "unifont.ttf",
)
"""Looked for where the fonts that come with this project's packages lack a character."""

_ANY_SIZE = 13
_NO_CHARACTER = "\U0010fffe"  # no font has it, so it is shown as the font's missing-glyph box


def class_caption(class_names: Sequence[str], label: int) -> str:
    """Return a class's name, or its number if no installed font can write the name.

    Args:
        class_names: Names of the classes by label.
        label: The class, or the null label, which is their number.
    """
    if label == len(class_names):
        return "no class"
    name = class_names[label]
    return name if any(_can_write_all(font, name) for font in _fonts(_ANY_SIZE)) else f"class {label}"


def class_captions(class_names: Sequence[str], labels: Iterable[int]) -> list[str]:
    """Return a caption for each label; empty if there is one class, which says nothing.

    Args:
        class_names: Names of the classes by label.
        labels: The labels.
    """
    return [class_caption(class_names, label) for label in labels] if len(class_names) > 1 else []


def writable(text: str, size: int) -> tuple[str, Font]:
    """Return a text on one line and a font for it; a question mark stands for what no font can write.

    Args:
        text: The text.
        size: Height of the font in pixels.
    """
    line = " ".join(text.split())
    for font in _fonts(size):
        if _can_write_all(font, line):
            return line, font
    font = next(_fonts(size))
    return "".join(character if _can_write(font, character) else "?" for character in line), font


def fitted(text: str, font: Font, width: float) -> str:
    """Return a text of at most `width` pixels, with an ellipsis where its middle is left out."""
    if font.getlength(text) <= width:
        return text
    dots = ELLIPSIS if _can_write(font, ELLIPSIS) else "..."
    return next(
        (
            short
            for longest in range(len(text) - 1, 0, -1)
            if font.getlength(short := shortened(text, longest, dots)) <= width
        ),
        dots,
    )


def _fonts(size: int) -> Iterator[Font]:
    """The fonts to try: Pillow's, then matplotlib's, which has more scripts, then the system's."""
    yield _font("", size)
    found = importlib.util.find_spec("matplotlib")  # which is not imported for it
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            yield _font(str(path), size)
    for name in SYSTEM_FONTS:
        try:
            yield _font(name, size)
        except OSError:
            continue


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> Font:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


def _can_write_all(font: Font, text: str) -> bool:
    return all(_can_write(font, character) for character in {*text})


@lru_cache(maxsize=16384)
def _can_write(font: Font, character: str) -> bool:
    if character.isspace():
        return True
    try:
        return _drawn(font, character) != _drawn(font, _NO_CHARACTER)
    except UnicodeError:
        return False


def _drawn(font: Font, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character, "L")
    return mask.size, bytes(mask)
