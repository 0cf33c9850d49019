from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_modules.pictures.charts import Axis, Panel, Pen, Style

RANGES = [(0.0, 0.0), (5.0, 5.0), (1e-9, 1e9), (0.11, 0.13), (1.0, 3.0), (20.0, 100_000.0), (7e-4, 0.2)]


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("values", RANGES, ids=str)
def test_ticks_are_few_round_and_on_the_axis(values, logarithmic):
    if logarithmic and min(values) <= 0:
        values = (1e-3, values[1] or 1.0)
    axis = Axis(values, (0.0, 400.0), 40, logarithmic)
    assert 2 <= len(axis.ticks) <= 11
    assert axis.ticks == sorted(set(axis.ticks))
    for tick in axis.ticks:
        assert -1e-6 <= axis(tick) <= 400 + 1e-6
        assert float(f"{tick:.3g}") == pytest.approx(tick, rel=1e-9, abs=1e-12)


def test_all_values_are_on_the_axis_with_room_at_its_ends():
    axis = Axis([3.0, 9.0], (50.0, 350.0), 40, logarithmic=False)
    assert 50 < axis(3.0) < axis(6.0) < axis(9.0) < 350
    assert axis(6.0) == pytest.approx(200)


def test_equal_ratios_are_equally_long():
    axis = Axis([1.0, 100.0], (0.0, 300.0), 40, logarithmic=True)
    assert axis(10.0) - axis(1.0) == pytest.approx(axis(100.0) - axis(10.0))


@pytest.mark.parametrize("how", [{}, {"dashes": (4, 4)}, {"dots": True}], ids=str)
def test_a_curve_lies_between_its_axes(how):
    pen = Pen(300, 200)
    Panel("title", (0, 0, 300, 200), [([(1, 1.0), (50, 3.0), (100, 0.5)], Style("#ff0000", 3, **how))]).draw(
        pen
    )
    pixels = np.asarray(pen.picture).astype(int)
    rows, columns = np.nonzero((pixels[:, :, 0] > 200) & (pixels[:, :, 1] < 120))
    assert len(rows) > 50
    assert rows.min() > 26 - 4
    assert rows.max() < 200 - 22 + 4
    assert columns.min() > 52 - 4
    assert columns.max() < 300 - 14 + 4


def test_paper_is_white_and_as_large_as_asked():
    picture = Pen(30, 20).picture
    assert picture.size == (30, 20)
    assert picture.getcolors() == [(600, (255, 255, 255))]
    assert math.isclose(Pen(30, 20).text("", (0, 0), 12), 0)
