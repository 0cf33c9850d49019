"""Images side by side with words: what a column is, what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_modules.captions import fitted, writable
from lightning_modules.images import viewing_scale

_MARGIN, _GAP, _GROUP_GAP = 16, 4, 24
_TITLE_SIZE, _TITLE_LINE = 16, 28
_TEXT_SIZE, _TEXT_LINE = 13, 20
_NARROWEST = 320  # a title has room above a single small image
_INK, _PAPER = (32, 32, 32), (255, 255, 255)


@dataclass(frozen=True)
class Sheet:
    """How images are laid out, and what is written beside them; what is empty takes no room.

    Args:
        columns: Images in a row.
        title: Above everything.
        column_names: Above each column.
        captions: Below each group of images.
        group: Images that belong together and share a caption; more space lies between groups.
    """

    columns: int
    title: str = ""
    column_names: Sequence[str] = ()
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
        scale = viewing_scale(width)
        places = [self.place(number, (height, width)) for number in range(len(images))]
        right = max(x for x, _ in places) + width * scale
        bottom = max(y for _, y in places) + height * scale + (_TEXT_LINE if self.captions else 0)
        paper = Image.new("RGB", (max(right, _NARROWEST) + _MARGIN, bottom + _MARGIN), _PAPER)
        for image, place in zip(images, places, strict=True):
            pixels = image.permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
            paper.paste(Image.fromarray(pixels), place)
        pen = ImageDraw.Draw(paper)
        _write(pen, self.title, (_MARGIN, _MARGIN - 4), paper.width - 2 * _MARGIN, _TITLE_SIZE)
        for name, (x, y) in zip(self.column_names, places, strict=False):
            _write(pen, name, (x, y - _TEXT_LINE), width * scale, _TEXT_SIZE, centered=True)
        whole = self.group * (width * scale + _GAP) - _GAP
        for caption, (x, y) in zip(self.captions, places[:: self.group], strict=False):
            _write(pen, caption, (x, y + height * scale + 2), whole, _TEXT_SIZE, centered=True)
        return torch.from_numpy(np.array(paper)).permute(2, 0, 1).contiguous()

    def place(self, number: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return where the upper left corner of an image is, x and y in pixels.

        Args:
            number: The image, counted from 0.
            size: Height and width of the images, before they are enlarged.
        """
        row, column = divmod(number, self.columns)
        scale = viewing_scale(size[1])
        below = _TEXT_LINE + 2 * _GAP if self.captions else 0
        above = (_TITLE_LINE if self.title else 0) + (_TEXT_LINE if self.column_names else 0)
        x = column * (size[1] * scale + _GAP) + column // self.group * (_GROUP_GAP if self.group > 1 else 0)
        return _MARGIN + x, _MARGIN + above + row * (size[0] * scale + _GAP + below)


def _write(
    pen: ImageDraw.ImageDraw,
    text: str,
    place: tuple[int, int],
    width: int,
    size: int,
    centered: bool = False,
) -> None:
    if not text:
        return
    line, font = writable(text, size)
    line = fitted(line, font, width)
    x = place[0] + ((width - font.getlength(line)) / 2 if centered else 0)
    pen.text((round(x), place[1]), line, _INK, font)
