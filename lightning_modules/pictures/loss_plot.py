"""A run's losses as a picture, for those who do not open TensorBoard."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.utils.io import whole_file
from lightning_modules.pictures.charts import Panel, Pen, Style

Series = Sequence[tuple[int, float]]

_BAND = re.compile(r"error_sigma_(\S+)_to_(\S+)/(train|val|identity|constant)")
_AVERAGED_POINTS = 100
_SCATTERED_POINTS = 2000
_WIDTH, _LOSS_HEIGHT, _BAND_HEIGHT, _LEGEND_HEIGHT = 1080, 320, 220, 40
_COLUMNS = 3
_SCATTER = Style("#cfdbe8", 1)
_STYLES = {
    "identity": (Style("#8a8a8a", 1.5, dashes=(2, 4)), "identity: the noisy image itself"),
    "constant": (Style("#8a8a8a", 1.5, dashes=(7, 4)), "constant: the mean training image"),
    "train": (Style("#4c78a8", 1.5), "training images"),
    "val": (Style("#e45756", 2, dots=True), "held-out images"),
}


def plot_losses(scalars: Mapping[str, Series], path: Path) -> bool:
    """Draw the loss on training and held-out images, and the error in each band of noise levels.

    Args:
        scalars: Step and value of each scalar of the run, by name, as `metrics.csv` has them.
        path: The picture, which is whole or not there.

    Returns:
        Whether there was anything to draw.

    Raises:
        OSError: If it cannot be written.
    """
    bands = _bands(scalars)
    if "loss" not in scalars and not bands:
        return False
    rows = -(-len(bands) // _COLUMNS)
    pen = Pen(_WIDTH, _LOSS_HEIGHT + rows * _BAND_HEIGHT + _LEGEND_HEIGHT)
    loss = {"train": scalars.get("loss", ()), "val": scalars.get("loss/val", ())}
    steps = [step for series in (loss, *bands.values()) for points in series.values() for step, _ in points]
    span = (min(steps, default=0), max(steps, default=1))
    top = _panel("Loss by step", (0, 8, _WIDTH, _LOSS_HEIGHT - 8), loss, span)
    top.curves.insert(0, (_evenly(_finite(loss["train"])), _SCATTER))
    top.draw(pen)
    for number, ((low, high), series) in enumerate(bands.items()):
        row, column = divmod(number, _COLUMNS)
        left, upper = column * _WIDTH // _COLUMNS, _LOSS_HEIGHT + row * _BAND_HEIGHT
        box = (left, upper, left + _WIDTH // _COLUMNS, upper + _BAND_HEIGHT - 12)
        _panel(f"Error at noise levels {low} to {high}", box, series, span).draw(pen)
    drawn = {name for series in (loss, *bands.values()) for name, points in series.items() if points}
    _legend(pen, _LOSS_HEIGHT + rows * _BAND_HEIGHT + 8, drawn)
    with whole_file(path) as temporary:
        pen.picture.save(temporary, format="PNG")
    return True


def _panel(
    title: str, box: tuple[int, int, int, int], series: Mapping[str, Series], span: Sequence[int]
) -> Panel:
    panel = Panel(title, box, span=span)
    for name, (style, _) in _STYLES.items():
        points = _finite(series.get(name, ()))
        panel.curves.append((_averaged(points) if name == "train" else points, style))
    return panel


def _legend(pen: Pen, y: float, names: set[str]) -> None:
    x = 52.0
    for name, (style, words) in reversed(_STYLES.items()):
        if name in names:
            pen.line([(x, y + 9), (x + 14, y + 9), (x + 28, y + 9)], style)
            x += 36 + pen.text(words, (x + 36, y), 13) + 32


def _bands(scalars: Mapping[str, Series]) -> dict[tuple[str, str], dict[str, Series]]:
    """Return the curves of each band of noise levels, the lowest first."""
    bands: dict[tuple[str, str], dict[str, Series]] = {}
    for name, series in scalars.items():
        if found := _BAND.fullmatch(name):
            bands.setdefault((found[1], found[2]), {})[found[3]] = series
    return dict(sorted(bands.items(), key=lambda item: float(item[0][0])))


def _averaged(series: Series) -> Series:
    """Average neighbors, so that the course is seen and not the scatter from step to step."""
    count = min(_AVERAGED_POINTS, len(series))
    bounds = [len(series) * number // max(count, 1) for number in range(count + 1)]
    blocks = [series[first:last] for first, last in itertools.pairwise(bounds)]
    return [(block[-1][0], sum(value for _, value in block) / len(block)) for block in blocks]


def _evenly(series: Series) -> Series:
    """Leave out points of a long curve that would fall onto others."""
    return series[:: len(series) // _SCATTERED_POINTS + 1]


def _finite(series: Series) -> list[tuple[int, float]]:
    return [(step, value) for step, value in series if abs(value) < float("inf")]
