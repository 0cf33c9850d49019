"""A run's losses as a picture, for those who do not open TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.utils.io import whole_file
from lightning_modules.pictures.charts import Panel, Pen, Style
from lightning_modules.pictures.series import Series, averaged, evenly, finite, noise_bands

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
    bands = noise_bands(scalars)
    if "loss" not in scalars and not bands:
        return False
    rows = -(-len(bands) // _COLUMNS)
    pen = Pen(_WIDTH, _LOSS_HEIGHT + rows * _BAND_HEIGHT + _LEGEND_HEIGHT)
    loss = {"train": scalars.get("loss", ()), "val": scalars.get("loss/val", ())}
    steps = [step for series in (loss, *bands.values()) for points in series.values() for step, _ in points]
    span = (min(steps, default=0), max(steps, default=1))
    top = _panel("Loss by step", (0, 8, _WIDTH, _LOSS_HEIGHT - 8), loss, span)
    top.curves.insert(0, (evenly(finite(loss["train"])), _SCATTER))
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
        points = finite(series.get(name, ()))
        panel.curves.append((averaged(points) if name == "train" else points, style))
    return panel


def _legend(pen: Pen, y: float, names: set[str]) -> None:
    x = 52.0
    for name, (style, words) in reversed(_STYLES.items()):
        if name in names:
            pen.line([(x, y + 9), (x + 14, y + 9), (x + 28, y + 9)], style)
            x += 36 + pen.text(words, (x + 36, y), 13) + 32
