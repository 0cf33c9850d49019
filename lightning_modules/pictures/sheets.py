"""Images side by side with words: what a column is, what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_modules.pictures.captions import fitted, writable
from lightning_modules.pictures.images import viewing_scale

_MARGIN, _GAP, _GROUP_GAP = 16, 4, 24
_TITLE_SIZE, _TITLE_LINE = 16, 28
_TEXT_SIZE, _TEXT_LINE = 13, 20
_ROW_NAME = 110
_WIDEST = 2048  # images side by side are not enlarged beyond
_NARROWEST_TEXT = 56
_NARROWEST = 320  # a title has room above a single small image
_INK, _PAPER = (32, 32, 32), (255, 255, 255)


@dataclass(frozen=True)
class Sheet:
    """How images are laid out, and their text; empty text takes no space.

    Names of columns and captions are left out where images are too narrow for words.

    Args:
        columns: Images in a row.
        title: Above everything.
        column_names: Above each column.
        row_names: Left of each row.
        captions: Below each group of images.
        group: Images that belong together and share a caption; more space lies between groups.
    """

    columns: int
    title: str = ""
    column_names: Sequence[str] = ()
    _: KW_ONLY
    row_names: Sequence[str] = ()
    captions: Sequence[str] = ()
    group: int = 1

    def draw(self, images: Tensor) -> Tensor:
        """Draw the sheet, each pixel of an image as a square, so that small images can be looked at.

        Args:
            images: uint8, (B, 3, H, W), row by row.

        Returns:
            One image, uint8, (3, H', W').
        """
        height, width = images.shape[-2:]
        scale = self.scale(width)
        places = [self.place(number, (height, width)) for number in range(len(images))]
        right = max(x for x, _ in places) + width * scale
        named, captioned = self._written(width)
        bottom = max(y for _, y in places) + height * scale + (_TEXT_LINE if captioned else 0)
        paper = Image.new("RGB", (max(right, _NARROWEST) + _MARGIN, bottom + _MARGIN), _PAPER)
        for image, place in zip(images, places, strict=True):
            pixels = image.permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
            paper.paste(Image.fromarray(pixels), place)
        pen = ImageDraw.Draw(paper)
        _write(pen, self.title, (_MARGIN, _MARGIN - 4), paper.width - 2 * _MARGIN, _TITLE_SIZE)
        for name, (x, y) in zip(self.column_names if named else (), places, strict=False):
            _write(pen, name, (x, y - _TEXT_LINE), width * scale, _TEXT_SIZE, align=0.5)
        for name, (x, y) in zip(self.row_names, places[:: self.columns], strict=False):
            middle = y + (height * scale - _TEXT_SIZE) // 2 - 2
            _write(pen, name, (_MARGIN, middle), x - _MARGIN - 8, _TEXT_SIZE, align=1.0)
        whole = self.group * (width * scale + _GAP) - _GAP
        for caption, (x, y) in zip(self.captions if captioned else (), places[:: self.group], strict=False):
            _write(pen, caption, (x, y + height * scale + 2), whole, _TEXT_SIZE, align=0.5)
        return torch.from_numpy(np.array(paper)).permute(2, 0, 1).contiguous()

    def place(self, number: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return where the upper left corner of an image is, x and y in pixels.

        Args:
            number: The image, counted from 0.
            size: Height and width of the images, before they are enlarged.
        """
        row, column = divmod(number, self.columns)
        scale = self.scale(size[1])
        named, captioned = self._written(size[1])
        below = _TEXT_LINE + 2 * _GAP if captioned else 0
        above = (_TITLE_LINE if self.title else 0) + (_TEXT_LINE if named else 0)
        x = column * (size[1] * scale + _GAP) + column // self.group * (_GROUP_GAP if self.group > 1 else 0)
        left = _MARGIN + (_ROW_NAME if self.row_names else 0)
        return left + x, _MARGIN + above + row * (size[0] * scale + _GAP + below)

    def scale(self, width: int) -> int:
        """Return the side of a pixel's square: images that are `width` pixels wide stay on a screen."""
        return max(1, min(viewing_scale(width), _WIDEST // (self.columns * width)))

    def _written(self, width: int) -> tuple[bool, bool]:
        """Tell whether names of columns and captions are written."""
        side = width * self.scale(width)
        captioned = bool(self.captions) and self.group * side >= _NARROWEST_TEXT
        return bool(self.column_names) and side >= _NARROWEST_TEXT, captioned


class LaidOut(NamedTuple):
    """Images and how they are laid out."""

    sheet: Sheet
    images: Tensor
    """uint8, (B, 3, H, W), row by row."""

    def draw(self) -> Tensor:
        """Draw the sheet: one image, uint8, (3, H', W')."""
        return self.sheet.draw(self.images)


def _write(
    pen: ImageDraw.ImageDraw,
    text: str,
    place: tuple[int, int],
    width: int,
    size: int,
    align: float = 0.0,
) -> None:
    if not text:
        return
    line, font = writable(text, size)
    line = fitted(line, font, width)
    x = place[0] + align * (width - font.getlength(line))
    pen.text((round(x), place[1]), line, _INK, font)
