"""What an evaluation found, as a table, as JSON, and in words."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.utils.io import write_json
from lightning_modules.evaluation.denoising import BandError
from lightning_modules.metrics.figure import Figure, Figures
from lightning_modules.metrics.memorization import Memorization
from lightning_modules.metrics.table import METRICS

REPORT = "report.json"
"""The file of a report, in a folder with its pictures."""
WIDTH = 100
"""Columns of a terminal that a table fits into."""


@dataclass(frozen=True)
class Row:
    """One evaluated set of images.

    Args:
        name: What the table calls it.
        facts: How it was made: step, weights, sampler, NFE, ...
        figures: Its figures.
        memorization: Its distances to the training images, where there are some.
    """

    name: str
    facts: Mapping[str, str | int | float]
    figures: Figures
    memorization: Memorization | None = None


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Args:
        protocol: What was compared with what, and how.
        floor: Figures of real images against the reference.
        ceiling: Figures of noise.
        rows: The evaluated sets.
        bands: Denoising errors by noise level, by checkpoint and weights.
        complete: Whether everything that was asked for is measured.
    """

    protocol: Mapping[str, str | int | float]
    floor: Figures
    ceiling: Figures
    rows: Sequence[Row]
    bands: Mapping[str, Sequence[BandError]] = field(default_factory=dict)
    complete: bool = True

    def save(self, path: Path) -> None:
        """Write everything as JSON, whole or not at all."""
        write_json(path, self.as_dict())

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain values."""
        rows: list[dict[str, object]] = []
        for row in self.rows:
            plain = dataclasses.asdict(row)
            if row.memorization:
                plain["memorization"]["rings"] = row.memorization.rings
            rows.append(plain)
        return {
            "complete": self.complete,
            "protocol": dict(self.protocol),
            "floor": {name: dataclasses.asdict(figure) for name, figure in self.floor.items()},
            "ceiling": {name: dataclasses.asdict(figure) for name, figure in self.ceiling.items()},
            "rows": rows,
            "error_by_noise_level": {
                name: [dataclasses.asdict(band) | {"gap": band.gap} for band in bands]
                for name, bands in self.bands.items()
            },
        }

    def describe(self) -> str:
        """Return the report for a terminal."""
        parts = ["\n".join(wrapped(f"{key}: {value}") for key, value in self.protocol.items()), self.table()]
        said = [(row.name, self.words(row)) for row in self.rows]
        parts += [
            "\n".join([wrapped(name), *(wrapped(each, "  ") for each in words)])
            for name, words in said
            if words
        ]
        parts += [
            wrapped(f"{name}: mean squared error by noise level") + f"\n{bands_table(b)}"
            for name, b in self.bands.items()
        ]
        return "\n\n".join(parts)

    def words(self, row: Row) -> list[str]:
        """Say where a row's KID lies between floor and ceiling, and what the memorization gauge saw."""
        kid, floor, ceiling = (figures["kid"] for figures in (row.figures, self.floor, self.ceiling))
        words = []
        if _overlap(kid, floor):
            words.append("KID at the floor: this many samples are not told apart from real images")
        elif _overlap(kid, ceiling):
            words.append("KID at the ceiling: to this feature network the samples are as far off as noise")
        return words + ([row.memorization.describe()] if row.memorization else [])

    def table(self) -> str:
        """Return the figures, each row between the floor and the ceiling, with intervals and refusals."""
        entries = [("floor: real against real", self.floor)]
        entries += [(row.name, row.figures) for row in self.rows]
        entries.append(("ceiling: noise", self.ceiling))
        return figures_table(entries)


def figures_table(entries: Sequence[tuple[str, Figures]]) -> str:
    """Lay figures out in columns, with what they are read as and why some are refused."""
    rows = [(title, figures_row(entries, figures)) for title, figures in entries]
    return "\n".join([*laid_out(figures_heads(entries), rows), *map(wrapped, figures_notes(entries))])


def figures_heads(entries: Sequence[tuple[str, Figures]]) -> list[str]:
    """Return the heads of a table of figures, with which way is better."""
    names = _names(entries)
    return [f"{METRICS[name].title} {'↓' if METRICS[name].lower_is_better else '↑'}" for name in names]


def figures_row(entries: Sequence[tuple[str, Figures]], figures: Figures) -> list[str]:
    """Return the cells of a row of the table of these entries."""
    return [cell(figures.get(name)) for name in _names(entries)]


def figures_notes(entries: Sequence[tuple[str, Figures]]) -> list[str]:
    """Return what a table of figures is read as: cautions, refusals, and figures that are blind here.

    Args:
        entries: Titles and figures of the rows, the floor first and the ceiling last.
    """
    names = _names(entries)
    cautions = [
        f"{METRICS[name].title} {METRICS[name].caution}"
        for name in names
        if METRICS[name].caution
        and any(figures.get(name, Figure(None)).value is not None for _, figures in entries)
    ]
    refused = {
        f"{METRICS[name].title} refused: {figure.note}"
        for _, figures in entries
        for name, figure in figures.items()
        if figure.value is None
    }
    legend = "↓: lower is better, ↑: higher; ± is half the width of the 95 % interval"
    return [legend, *cautions, *sorted(refused), *_blind(names, entries[0][1], entries[-1][1])]


def _names(entries: Sequence[tuple[str, Figures]]) -> list[str]:
    return [name for name in METRICS if any(name in figures for _, figures in entries)]


def laid_out(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int = WIDTH
) -> list[str]:
    """Lay a table out in at most so many columns of text.

    Where titles and cells do not fit side by side, each title stands on lines of its own above its cells, and
    columns that do not fit follow in a table below.

    Args:
        heads: Heads of the columns.
        rows: Titles and cells of the rows.
        width: Columns of text.

    Returns:
        Lines.
    """
    columns = list(zip(heads, *(cells for _, cells in rows), strict=True))
    widths = [max(len(text) for text in column) + 2 for column in columns]
    left = max(len(title) for title, _ in rows)
    if left + sum(widths) <= width:
        titled = [("", heads), *rows]
        return [f"{title:<{left}}" + _cells(cells, widths) for title, cells in titled]
    lines: list[str] = []
    for part in _parts(widths, width):
        lines.append(_cells(heads[part], widths[part]))
        for title, cells in rows:
            lines += [wrapped(title, width=width), _cells(cells[part], widths[part])]
    return lines


def _parts(widths: Sequence[int], width: int) -> list[slice]:
    """Cut columns into parts that fit, each with at least one."""
    parts, first = [], 0
    for end in range(1, len(widths) + 1):
        if end == len(widths) or sum(widths[first : end + 1]) > width:
            parts.append(slice(first, end))
            first = end
    return parts


def wrapped(text: str, indent: str = "", width: int = WIDTH) -> str:
    """Return a text in lines of at most so many columns, the later ones further in; no word is cut."""
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{text:>{width}}" for text, width in zip(cells, widths, strict=True))


def _overlap(one: Figure, other: Figure) -> bool:
    """Tell whether two intervals have a value in common."""
    lows = [each.low for each in (one, other) if each.low is not None]
    highs = [each.high for each in (one, other) if each.high is not None]
    return len(lows) == len(highs) == 2 and max(lows) <= min(highs)


def _blind(names: Sequence[str], real: Figures, noise: Figures) -> list[str]:
    """Say which figures cannot tell noise from real images here, and so say nothing of samples either."""
    lines = []
    for name in names:
        best, worst = real[name].value, noise[name].value
        if best is None or worst is None:
            continue
        metric = METRICS[name]
        if worst <= best if metric.lower_is_better else worst >= best:
            lines.append(
                f"{metric.title} is blind here, do not read it: {worst:.3g} for noise, {best:.3g} for real"
            )
    return lines


def cell(figure: Figure | None) -> str:
    """Return a figure as it stands in the table."""
    if figure is None:
        return "-"
    if figure.value is None:
        return "refused"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.4g}"
    return f"{figure.value:.3g} ±{(figure.high - figure.low) / 2:.2g}"


def bands_table(bands: Sequence[BandError]) -> str:
    """Lay errors by noise level out in columns."""
    columns = [f"{band.low:g}-{band.high:g}" for band in bands]
    lines = [f"{'sigma':<12}" + "".join(f"{column:>11}" for column in columns)]
    lines += [
        f"{name:<12}" + "".join(f"{getattr(band, name):>11.4g}" for band in bands)
        for name in ("identity", "constant", "train", "val")
    ]
    lines.append(f"{'gap':<12}" + "".join(f"{band.gap:>+11.1%}" for band in bands))
    return "\n".join(lines)
