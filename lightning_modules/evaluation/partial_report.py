"""An evaluation that was stopped: the rows that its report holds are not measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_modules.evaluation.denoising import BandError
from lightning_modules.evaluation.report import Row
from lightning_modules.evaluation.stored_report import read_report


class PartialReport(NamedTuple):
    """What a report holds.

    Attributes:
        rows: Its rows.
        bands: Errors by noise level, by checkpoint and weights.
    """

    rows: Sequence[Row]
    bands: Mapping[str, Sequence[BandError]]

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
        stored = read_report(path)
    except (OSError, ValueError):
        return PartialReport([], {})
    if stored.complete or stored.protocol != protocol:
        return PartialReport([], {})
    return PartialReport(stored.rows, stored.bands)
