"""The curves of a run: loss, error by noise level against what needs no learning, learning rate, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from datamodules.pages.html import section, table, text
from lightning_modules.pictures.series import Series, averaged, evenly, noise_bands
from lightning_modules.report.lives import marks
from lightning_modules.report.record import Record
from lightning_modules.report.svg import Chart, Curve, legend

_SCATTERED = 300  # points of a noisy curve that are drawn behind its course
_MOST_BANDS = 12

TRAIN, VAL = "training images", "held-out images"
IDENTITY, CONSTANT = "the noisy image itself", "the mean training image"


class Band(NamedTuple):
    """What was measured last at noise levels from `low` to `high`.

    Attributes:
        low: Least noise level, as it is written.
        high: Largest.
        val: Error on held-out images.
        baseline: The smaller error of the two answers that need no learning.
        of: Which of the two that is.
    """

    low: str
    high: str
    val: float
    baseline: float
    of: str

    @property
    def learned(self) -> bool:
        """Whether the model is better than what needs no learning."""
        return self.val < self.baseline


def loss(record: Record) -> str:
    """Return the section of the loss and the learning rate."""
    train, val = record.curve("loss"), record.curve("loss/val")
    ended = marks(record.lives)
    charts = [
        Chart(
            "Loss",
            [
                Curve(evenly(train, _SCATTERED), "faint"),
                Curve(averaged(train), "train", TRAIN),
                Curve(val, "val", VAL, dots=len(val) <= 60),
            ],
            ended,
            logarithmic=True,
            span=_span(record),
        ),
        _single(record, "Learning rate", "learning_rate", zero=True),
        _single(record, "KID of samples, measured in training", "evaluation/kid", kind="val"),
        _single(record, "Steps that were not taken, in all", "skipped_steps", zero=True),
    ]
    drawn = _drawn(charts)
    if drawn and ended:
        drawn += '<p class="soft">A dashed line: a life ended there, and the next one went on.</p>'
    return section("Loss and learning rate", drawn)


def speed(record: Record) -> str:
    """Return the section of the throughput, the time spent waiting for data, and the gradient."""
    waiting = [(step, 100 * share) for step, share in record.curve("throughput/data_wait_share")]
    shares = Chart(
        "Time spent waiting for data",
        [Curve(evenly(waiting, _SCATTERED), "faint"), Curve(averaged(waiting), "train")],
        span=_span(record),
        unit=" %",
        zero=True,
    )
    charts = [
        _single(record, "Images per second", "throughput/images_per_second", zero=True),
        shares,
        _single(record, "Gradient norm, before clipping", "gradient_norm", logarithmic=True),
    ]
    return section("Speed and gradient", _drawn(charts, "charts small"))


def by_noise_level(record: Record) -> str:
    """Return the section of the error in each band of noise levels, next to both baselines."""
    found = noise_bands(record.scalars)
    charts = []
    for (low, high), series in list(found.items())[:_MOST_BANDS]:
        charts.append(
            Chart(
                f"Noise levels {low} to {high}",
                [
                    Curve(series.get("identity", ()), "dotted", IDENTITY),
                    Curve(series.get("constant", ()), "base", CONSTANT),
                    Curve(averaged(series.get("train", ())), "train", TRAIN),
                    Curve(series.get("val", ()), "val", VAL, dots=len(series.get("val", ())) <= 60),
                ],
                logarithmic=True,
                span=_span(record),
            )
        )
    figures = [
        f"<figure><h3>{text(chart.title)}</h3>{svg}</figure>" for chart in charts if (svg := chart.svg())
    ]
    if not figures:
        return ""
    key = [Curve([(0, 0)], kind, name) for kind, name in _KINDS]
    words = (
        "<p>Squared error of the denoised image per pixel value. Below both gray lines the model knows more "
        "than can be said without learning. Where the held-out error rises while the other falls, it "
        "memorizes.</p>"
    )
    grid = f'<div class="charts small">{"".join(figures)}</div>{legend(key)}'
    return section("Error by noise level", words + grid + _against_baselines(bands(record)))


_KINDS = (("train", TRAIN), ("val", VAL), ("dotted", IDENTITY), ("base", CONSTANT))


def bands(record: Record) -> list[Band]:
    """Return what was measured last on held-out images at each band of noise levels, the lowest first."""
    measured = []
    for (low, high), series in noise_bands(record.scalars).items():
        last = _last(series)
        known = [
            (last[name], words)
            for name, words in (("identity", IDENTITY), ("constant", CONSTANT))
            if name in last
        ]
        if known and "val" in last:
            measured.append(Band(low, high, last["val"], *min(known)))
    return measured


def _against_baselines(measured: Sequence[Band]) -> str:
    rows = [
        (
            f"{band.low} to {band.high}",
            f"{band.val:.3g}",
            f"{band.baseline:.3g}, {band.of}",
            f"{band.baseline / band.val:.3g} times smaller" if band.learned else "not better",
        )
        for band in measured
        if band.val > 0
    ]
    heads = ("noise levels", "held-out error", "better baseline", "the model's error")
    drawn = table(rows, heads, kind="list numbers")
    return f'<div class="wide">{drawn}</div>' if drawn else ""


def _last(series: Mapping[str, Series]) -> dict[str, float]:
    return {name: each[-1][1] for name, each in series.items() if each}


def _single(
    record: Record,
    title: str,
    name: str,
    kind: str = "train",
    *,
    logarithmic: bool = False,
    zero: bool = False,
) -> Chart:
    points = record.curve(name)
    many = len(points) > 2 * _SCATTERED
    curves = [Curve(evenly(points, _SCATTERED), "faint")] if many else []
    curves.append(Curve(averaged(points) if many else points, kind, dots=kind == "val" and len(points) <= 60))
    return Chart(title, curves, logarithmic=logarithmic, span=_span(record), zero=zero)


def _drawn(charts: Sequence[Chart], kind: str = "charts") -> str:
    figures = "".join(chart.figure() for chart in charts)
    return f'<div class="{kind}">{figures}</div>' if figures else ""


def _span(record: Record) -> tuple[float, float]:
    return 0.0, float(max(record.step, 1))
