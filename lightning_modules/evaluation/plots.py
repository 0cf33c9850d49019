"""Reports as pictures. Matplotlib is imported when a picture is made, not before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.utils.io import whole_file
from datamodules.utils.text import installing
from lightning_modules.evaluation.denoising import BandError
from lightning_modules.evaluation.report import Report, Row
from lightning_modules.metrics.table import METRICS


def plot_report(report: Report, folder: Path) -> list[Path]:
    """Draw what a report has: quality against NFE, against step, error by noise level.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    made = []
    for fact, title in (("nfe", "evaluations of the network per image (NFE)"), ("step", "step")):
        values = {row.facts.get(fact) for row in report.rows}
        if len(values - {None}) > 1:
            made.append(plot_quality(report, fact, title, folder / f"quality-{fact}.png"))
    if report.bands:
        made.append(plot_bands(report.bands, folder / "error-by-noise-level.png"))
    return made


def plot_quality(report: Report, fact: str, title: str, path: Path) -> Path:
    """Draw the figures against a fact of the rows, with floor and ceiling; write a PNG.

    Args:
        report: The report.
        fact: `nfe` or `step`.
        title: What the axis says.
        path: The picture.
    """
    shown = [name for name, metric in METRICS.items() if metric.axis and _known(report, name)]
    figure, axes = _pyplot().subplots(
        1, len(shown), figsize=(3.6 * len(shown), 4), squeeze=False, layout="constrained"
    )
    lines = _lines(report.rows, fact)
    for name, axis in zip(shown, axes[0], strict=True):
        for label, rows in lines.items():
            found = [(row.facts[fact], row.figures[name]) for row in rows]
            x = [place for place, _ in found]
            y = [each.value for _, each in found]
            (drawn,) = axis.plot(x, y, marker="o", markersize=3, label=label)
            low = [each.low if each.low is not None else each.value for _, each in found]
            high = [each.high if each.high is not None else each.value for _, each in found]
            axis.fill_between(x, low, high, alpha=0.15, color=drawn.get_color(), linewidth=0)
        for figures, label, style in ((report.floor, "real images", "--"), (report.ceiling, "noise", ":")):
            axis.axhline(figures[name].value, color="gray", linestyle=style, linewidth=1, label=label)
        axis.set(title=METRICS[name].title, xlabel=title)
        if METRICS[name].axis == "signed":
            floor = report.floor[name]
            axis.set_yscale("symlog", linthresh=max((floor.high or 0.0) - (floor.low or 0.0), 1e-6))
        elif METRICS[name].axis == "log":
            axis.set_yscale("log")
        else:
            axis.set_ylim(-0.03, 1.05)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return _save(figure, path)


def plot_bands(bands: Mapping[str, Sequence[BandError]], path: Path) -> Path:
    """Plot the denoising error by noise level, training and held-out, with the baselines; write a PNG."""
    figure, axis = _pyplot().subplots(figsize=(6.4, 4.2), layout="constrained")
    first = next(iter(bands.values()))
    x = [(band.low * band.high) ** 0.5 for band in first]
    for name, style in (("identity", ":"), ("constant", "--")):
        axis.plot(x, [getattr(band, name) for band in first], style, color="gray", label=name)
    for label, errors in bands.items():
        (line,) = axis.plot(
            x, [band.val for band in errors], marker="o", markersize=3, label=f"{label}, held out"
        )
        train = [band.train for band in errors]
        axis.plot(x, train, "--", marker="x", markersize=4, color=line.get_color(), label=f"{label}, train")
    axis.set(
        xscale="log", yscale="log", xlabel="sigma", ylabel="mean squared error", title="Error by noise level"
    )
    axis.legend(fontsize=7)
    return _save(figure, path)


def _known(report: Report, name: str) -> bool:
    figures = [report.floor, report.ceiling, *(row.figures for row in report.rows)]
    return all(name in each and each[name].value is not None for each in figures)


def _lines(rows: Sequence[Row], fact: str) -> dict[str, list[Row]]:
    """Group rows by what differs among them besides the fact and what follows from it, in its order."""
    follows = {"nfe": {"nfe", "steps"}, "step": {"step"}}[fact] | {"checkpoint", "sha256"}
    placed = sorted((row for row in rows if fact in row.facts), key=lambda row: float(row.facts[fact]))
    differing = [
        key
        for key in placed[0].facts
        if key not in follows and len({row.facts.get(key) for row in placed}) > 1
    ]
    lines: dict[str, list[Row]] = {}
    for row in placed:
        words = [f"{key} {row.facts.get(key)}" for key in differing]
        lines.setdefault(", ".join(words) or "samples", []).append(row)
    return lines


def _pyplot() -> Any:  # noqa: ANN401
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"plots need matplotlib: {installing('eval')}, or leave them out with --no-plots"
        ) from error
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path) -> Path:  # noqa: ANN401
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    _pyplot().close(figure)
    return path
