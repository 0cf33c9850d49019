"""Line charts as SVG within a page: they take their colors from its style sheet, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from datamodules.pages.html import text
from lightning_modules.pictures.charts import Axis, tick_label
from lightning_modules.pictures.series import evenly

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 560, 280
_LEFT, _RIGHT, _ABOVE, _BELOW = 62, 14, 14, 30
_TICKS_EVERY_X, _TICKS_EVERY_Y = 90, 44
_MOST_POINTS = 1000  # a chart has fewer pixels


@dataclass(frozen=True)
class Curve:
    """A curve of a chart.

    Args:
        points: Places and values, from left to right.
        kind: Its class in the style sheet: `train`, `val`, `base`, `dotted`, `faint`.
        name: What the legend calls it; empty leaves it out.
        dots: Whether each point has a dot.
    """

    points: Points
    kind: str
    name: str = ""
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """A pair of axes with curves.

    Args:
        title: What it shows; who sees no pictures hears it.
        curves: Later ones lie above.
        marks: Places with a vertical line through the chart, and what each is.
        logarithmic: Whether the vertical axis is so, where all values are positive.
        span: Least and largest place of the horizontal axis, in addition to those of the curves.
        unit: What follows the numbers of the vertical axis.
        zero: Whether the vertical axis begins at 0.
    """

    title: str
    curves: Sequence[Curve]
    marks: Sequence[tuple[float, str]] = ()
    logarithmic: bool = False
    span: Sequence[float] = ()
    unit: str = ""
    zero: bool = field(default=False, kw_only=True)

    def svg(self) -> str:
        """Return the chart as an SVG element, empty without a point."""
        values = [value for curve in self.curves for _, value in curve.points]
        if not values:
            return ""
        places = [*self.span, *(place for curve in self.curves for place, _ in curve.points)]
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BELOW
        x = Axis(places, (_LEFT, right), _TICKS_EVERY_X, logarithmic=False)
        lowest = [0.0] if self.zero else []
        y = Axis(
            [*values, *lowest],
            (bottom, _ABOVE),
            _TICKS_EVERY_Y,
            logarithmic=self.logarithmic and min(values) > 0,
        )
        parts = [
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="{text(self._said())}">',
            *(f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{right}"/>' for tick in y.ticks),
            *(_label(_LEFT - 8, y(tick) + 5, tick_label(tick) + self.unit, "end") for tick in y.ticks),
            *(_label(x(tick), bottom + 22, tick_label(tick), "middle") for tick in x.ticks if tick >= 0),
            *(_mark(x(place), bottom, words) for place, words in self.marks),
            f'<path class="axis" d="M{_LEFT} {_ABOVE}V{bottom}H{right}"/>',
            *(_curve(curve, x, y) for curve in self.curves),
            "</svg>",
        ]
        return "".join(parts)

    def figure(self) -> str:
        """Return the chart with its title and legend; empty without a point."""
        svg = self.svg()
        if not svg:
            return ""
        names = [curve for curve in self.curves if curve.name and curve.points]
        return f"<figure><h3>{text(self.title)}</h3>{svg}{legend(names) if len(names) > 1 else ''}</figure>"

    def _said(self) -> str:
        """Say the chart in words: where each curve begins and ends."""
        curves = [
            f"{curve.name or 'curve'} from {curve.points[0][1]:.3g} at step {curve.points[0][0]:,.0f} "
            f"to {curve.points[-1][1]:.3g} at step {curve.points[-1][0]:,.0f}"
            for curve in self.curves
            if curve.points and curve.kind != "faint"
        ]
        return f"{self.title}: {'; '.join(curves)}"


def legend(curves: Sequence[Curve]) -> str:
    """Return what each curve is, in a line below a chart."""
    lines = (
        f'<span><svg viewBox="0 0 28 10" aria-hidden="true">'
        f'<path class="curve {curve.kind}" d="M1 5H27"/></svg>{text(curve.name)}</span>'
        for curve in curves
    )
    return f'<figcaption class="legend">{"".join(lines)}</figcaption>'


def _curve(curve: Curve, x: Axis, y: Axis) -> str:
    points = [*evenly(curve.points[:-1], _MOST_POINTS), *curve.points[-1:]]
    places = [(x(place), y(value)) for place, value in points]
    line = "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
    parts = [f'<path class="curve {curve.kind}" d="M{line}"/>'] if len(places) > 1 else []
    if curve.dots or len(places) == 1:
        parts += [
            f'<circle class="dot {curve.kind}" cx="{across:.1f}" cy="{down:.1f}" r="3.2"/>'
            for across, down in places
        ]
    return "".join(parts)


def _mark(place: float, bottom: float, words: str) -> str:
    return f'<path class="mark" d="M{place:.1f} {_ABOVE}V{bottom}"><title>{text(words)}</title></path>'


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'
