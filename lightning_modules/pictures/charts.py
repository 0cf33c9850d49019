"""Line charts drawn with Pillow.

Matplotlib would draw them too. But where it is installed, torchmetrics imports it when Lightning is imported,
which is half a second of every command. So training does not depend on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from lightning_modules.pictures.captions import writable

Points = Sequence[tuple[float, float]]

_FINE = 2  # everything is drawn larger and reduced, which smooths lines
_PAPER, _INK, _FRAME, _GRID = "#ffffff", "#202020", "#707070", "#e6e6e6"
_TITLE, _LABEL = 14, 11
_LEFT, _RIGHT, _ABOVE, _BELOW = 52, 14, 26, 22  # of a panel, around its curves
_TICKS_EVERY_X, _TICKS_EVERY_Y = 70, 28


@dataclass(frozen=True)
class Style:
    """How a curve looks.

    Args:
        color: As Pillow takes it.
        width: Of the line in pixels.
        dashes: Length of dashes and of gaps in pixels; None gives a line without gaps.
        dots: Whether each point has a dot.
    """

    color: str
    width: float = 1.5
    dashes: tuple[int, int] | None = None
    dots: bool = False


@dataclass
class Panel:
    """One pair of axes; the vertical one is logarithmic where all values are positive.

    Args:
        title: Above it.
        box: Left, top, right and bottom in pixels.
        curves: Points and style of each curve, later ones above.
        span: Least and largest place on the horizontal axis, in addition to those of the curves.
    """

    title: str
    box: tuple[int, int, int, int]
    curves: list[tuple[Points, Style]] = field(default_factory=list)
    span: Sequence[float] = ()

    def draw(self, pen: Pen) -> None:
        """Draw axes and curves."""
        left, top = self.box[0] + _LEFT, self.box[1] + _ABOVE
        right, bottom = self.box[2] - _RIGHT, self.box[3] - _BELOW
        pen.text(self.title, (left, self.box[1] + 4), _TITLE)
        shown = [point for points, _ in self.curves for point in points]
        if not shown:
            return
        x = Axis(
            [*self.span, *(place for place, _ in shown)], (left, right), _TICKS_EVERY_X, logarithmic=False
        )
        positive = min(value for _, value in shown) > 0
        y = Axis([value for _, value in shown], (bottom, top), _TICKS_EVERY_Y, logarithmic=positive)
        for tick in y.ticks:
            pen.line([(left, y(tick)), (right, y(tick))], Style(_GRID, 1))
            pen.text(tick_label(tick), (left - 6, y(tick) - _LABEL / 2 - 2), _LABEL, align=1.0)
        for tick in x.ticks:
            pen.line([(x(tick), top), (x(tick), bottom)], Style(_GRID, 1))
            pen.text(tick_label(tick), (x(tick), bottom + 5), _LABEL, align=0.5)
        pen.line([(left, top), (left, bottom), (right, bottom)], Style(_FRAME, 1))
        for points, style in self.curves:
            pen.line([(x(place), y(value)) for place, value in points], style)


class Axis:
    """A map from values to pixels, and round values along it.

    Args:
        values: All of them fit onto the axis.
        ends: Pixels of its two ends.
        spacing: Pixels between ticks, at least.
        logarithmic: Whether equal ratios are equally long; values are positive then.
    """

    def __init__(
        self, values: Sequence[float], ends: tuple[float, float], spacing: int, logarithmic: bool
    ) -> None:
        self.logarithmic, self.ends = logarithmic, ends
        low, high = (self._scaled(bound) for bound in (min(values), max(values)))
        room = 0.04 * (high - low) or 0.5 * (abs(low) or 1.0) * (0.3 if logarithmic else 1.0)
        self.low, self.high = low - room, high + room
        self.ticks = self._ticks(max(2, int(abs(ends[1] - ends[0]) / spacing)))

    def __call__(self, value: float) -> float:
        """Return a value's place in pixels."""
        share = (self._scaled(value) - self.low) / (self.high - self.low)
        return self.ends[0] + share * (self.ends[1] - self.ends[0])

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _ticks(self, most: int) -> list[float]:
        """Return the densest round values that are no more than `most`."""
        if not self.logarithmic:
            return self._even(most)
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        for every, factors in ((1, (1, 2, 5)), (1, (1,)), (2, (1,)), (3, (1,)), (5, (1,))):
            ticks = [factor * 10.0**decade for decade in decades if decade % every == 0 for factor in factors]
            ticks = [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
            if len(ticks) <= most:
                break
        return ticks if len(ticks) > 1 else self._even(most)

    def _even(self, most: int) -> list[float]:
        low, high = (10.0**end if self.logarithmic else end for end in (self.low, self.high))
        step = 10.0 ** math.floor(math.log10((high - low) / most))
        step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
        return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


class Pen:
    """Draws smooth lines and text onto white paper.

    Args:
        width: Of the paper in pixels.
        height: Of the paper in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._paper = Image.new("RGB", (width * _FINE, height * _FINE), _PAPER)
        self._pen = ImageDraw.Draw(self._paper)

    @property
    def picture(self) -> Image.Image:
        """What was drawn."""
        return self._paper.reduce(_FINE)

    def text(self, text: str, place: tuple[float, float], size: int, align: float = 0.0) -> float:
        """Write a text; `align` 0 begins at the place, 1 ends there. Return its width."""
        line, font = writable(text, size * _FINE)
        width = font.getlength(line)
        self._pen.text((place[0] * _FINE - align * width, place[1] * _FINE), line, _INK, font)
        return width / _FINE

    def line(self, points: Points, style: Style) -> None:
        """Draw a curve."""
        fine = [(x * _FINE, y * _FINE) for x, y in points]
        width = max(1, round(style.width * _FINE))
        if len(fine) > 1:
            for part in [fine] if style.dashes is None else _dashed(fine, style.dashes):
                self._pen.line(part, style.color, width, joint="curve")
        if style.dots or len(fine) == 1:
            radius = 1.6 * width
            for x, y in fine:
                self._pen.ellipse((x - radius, y - radius, x + radius, y + radius), style.color)


def _dashed(points: Points, dashes: tuple[int, int]) -> list[Points]:
    """Cut a curve into dashes."""
    dash, period = dashes[0] * _FINE, sum(dashes) * _FINE
    parts: list[Points] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        for number in range(math.ceil(length / period)):
            begin, end = (min(1.0, place / length) for place in (number * period, number * period + dash))
            parts.append([(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in (begin, end)])
    return parts


def tick_label(value: float) -> str:
    """Return a value as it stands at an axis."""
    rounded = float(f"{value:.6g}")
    return f"{rounded:,.0f}" if rounded == int(rounded) and abs(rounded) < 1e7 else f"{rounded:g}"
