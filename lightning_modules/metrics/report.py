"""What an evaluation found, as a table, as JSON, and in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.metrics.denoising import BandError
from lightning_modules.metrics.memorisation import Memorisation
from lightning_modules.metrics.protocol import LOWER_IS_BETTER, Figure, Figures

TITLES = {"kid": "KID", "frechet": "Fréchet", "inception_score": "IS"}
_WIDTH = 18


@dataclass(frozen=True)
class Row:
    """One evaluated set of images.

    Args:
        name: What the table calls it.
        facts: How it was made: step, weights, sampler, NFE, ...
        figures: Its figures.
        memorisation: Its distances to the training images, where there are some.
    """

    name: str
    facts: Mapping[str, str | int | float]
    figures: Figures
    memorisation: Memorisation | None = None


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Args:
        protocol: What was compared with what, and how.
        floor: Figures of real images against the reference.
        ceiling: Figures of noise.
        rows: The evaluated sets.
        bands: Denoising errors by noise level, by checkpoint and weights.
    """

    protocol: Mapping[str, str | int | float]
    floor: Figures
    ceiling: Figures
    rows: Sequence[Row]
    bands: Mapping[str, Sequence[BandError]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything as JSON, whole or not at all."""
        text = json.dumps(self.as_dict(), indent=2, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain values."""
        rows: list[dict[str, object]] = []
        for row in self.rows:
            plain = dataclasses.asdict(row)
            if row.memorisation:
                plain["memorisation"]["rings"] = row.memorisation.rings
            rows.append(plain)
        return {
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
        parts = ["\n".join(f"{key}: {value}" for key, value in self.protocol.items()), self.table()]
        parts += [f"{row.name}\n" + "\n".join(f"  {words}" for words in self.words(row)) for row in self.rows]
        parts += [
            f"{name}: mean squared error by noise level\n{bands_table(b)}" for name, b in self.bands.items()
        ]
        return "\n\n".join(parts)

    def words(self, row: Row) -> list[str]:
        """Say where a row's KID lies between floor and ceiling, and what the memorisation gauge saw."""
        kid, floor, ceiling = (figures["kid"] for figures in (row.figures, self.floor, self.ceiling))
        words = []
        if _overlap(kid, floor):
            words.append("KID at the floor: this many samples are not told apart from real images")
        elif _overlap(kid, ceiling):
            words.append("KID at the ceiling: to this feature network the samples are as far off as noise")
        return words + ([row.memorisation.describe()] if row.memorisation else [])

    def table(self) -> str:
        """Return the figures, each row between the floor and the ceiling, with intervals and refusals."""
        entries = [("floor: real against real", self.floor)]
        entries += [(row.name, row.figures) for row in self.rows]
        entries.append(("ceiling: noise", self.ceiling))
        return figures_table(entries)


def figures_table(entries: Sequence[tuple[str, Figures]]) -> str:
    """Lay figures out in columns, with what they are read as and why some are refused."""
    names = [name for name in LOWER_IS_BETTER if any(name in figures for _, figures in entries)]
    left = max(len(name) for name, _ in entries) + 2
    arrows = {name: "↓" if LOWER_IS_BETTER[name] else "↑" for name in names}
    head = "".join(f"{TITLES.get(name, name) + ' ' + arrows[name]:>{_WIDTH}}" for name in names)
    lines = [" " * left + head]
    for title, figures in entries:
        lines.append(f"{title:<{left}}" + "".join(f"{cell(figures.get(name)):>{_WIDTH}}" for name in names))
    lines.append("↓: lower is better, ↑: higher; ± is half the width of the 95 % interval")
    if any(figures.get("inception_score", Figure(None)).value is not None for _, figures in entries):
        lines.append("IS knows nothing of the real images: it can exceed theirs and mean nothing")
    refused = {
        f"{TITLES.get(name, name)} refused: {figure.note}"
        for _, figures in entries
        for name, figure in figures.items()
        if figure.value is None
    }
    return "\n".join([*lines, *sorted(refused), *_blind(names, entries[0][1], entries[-1][1])])


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
        title = TITLES.get(name, name)
        if worst <= best if LOWER_IS_BETTER[name] else worst >= best:
            lines.append(f"{title} is blind here, do not read it: {worst:.3g} for noise, {best:.3g} for real")
    return lines


def cell(figure: Figure | None) -> str:
    """Return a figure as it stands in the table."""
    if figure is None:
        return "-"
    if figure.value is None:
        return "refused"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.4g}"
    return f"{figure.value:.4g} ±{(figure.high - figure.low) / 2:.2g}"


def bands_table(bands: Sequence[BandError]) -> str:
    """Lay errors by noise level out in columns."""
    columns = [f"{band.low:g}-{band.high:g}" for band in bands]
    lines = [f"{'sigma':<12}" + "".join(f"{column:>11}" for column in columns)]
    lines += [
        f"{name:<12}" + "".join(f"{getattr(band, name):>11.4g}" for band in bands)
        for name in ("identity", "constant", "train", "held_out")
    ]
    lines.append(f"{'gap':<12}" + "".join(f"{band.gap:>+11.1%}" for band in bands))
    return "\n".join(lines)
