"""An evaluation that was stopped: the rows that its report holds are not measured again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.utils.io import read_json
from lightning_modules.evaluation.denoising import BandError
from lightning_modules.evaluation.report import Row
from lightning_modules.metrics.figure import Figure, Figures
from lightning_modules.metrics.memorization import Memorization


class PartialReport(NamedTuple):
    """What a report holds.

    Attributes:
        rows: Its rows.
        bands: Errors by noise level, by checkpoint and weights.
    """

    rows: list[Row]
    bands: dict[str, list[BandError]]

    def row(self, facts: Mapping[str, object]) -> Row | None:
        """Return the row with these facts, if it is there."""
        return next((row for row in self.rows if row.facts == facts), None)


def left_over(path: Path, protocol: Mapping[str, object]) -> PartialReport:
    """Read what a stopped evaluation has measured; nothing, if it had another protocol.

    Args:
        path: The report.
        protocol: What is compared with what; a report of anything else is not taken up.
    """
    try:
        stored = read_json(path)
        if stored["complete"] or stored["protocol"] != protocol:
            return PartialReport([], {})
        rows = [_row(row) for row in stored["rows"]]
        bands = {
            name: [BandError(**_fields(BandError, band)) for band in found]
            for name, found in stored["error_by_noise_level"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return PartialReport([], {})
    return PartialReport(rows, bands)


def _row(stored: Mapping[str, Any]) -> Row:
    found = stored["memorization"]
    if found is not None:
        found = _fields(Memorization, found)
        found["distance_ratio_interval"] = tuple(found["distance_ratio_interval"])
    gauge = None if found is None else Memorization(**found)
    return Row(stored["name"], stored["facts"], _figures(stored["figures"]), gauge)


def _figures(stored: Mapping[str, Any]) -> Figures:
    return {name: Figure(**figure) for name, figure in stored.items()}


def _fields(kind: type, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a dataclass is made of, without those that follow from them."""
    return {field.name: stored[field.name] for field in dataclasses.fields(kind)}
