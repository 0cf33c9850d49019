"""What an evaluation may tell outside: the rows of a checkpoint, and how they came about, without a path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_modules.evaluation.report import REPORT, Report, Row
from lightning_modules.evaluation.stored_report import read_report

_OF_PROTOCOL = ("N on each side", "features", "images", "floor", "ceiling", "seed", "seeds")
"""What is told of a protocol; the reference's name is a folder of somebody's machine."""


class Measured(NamedTuple):
    """What was measured of a checkpoint."""

    report: Report
    """The evaluation, with floor and ceiling."""

    rows: Sequence[Row]
    """The checkpoint's rows, at least one; all rows where it has none."""

    of_checkpoint: bool
    """Whether they are the checkpoint's."""

    def protocol(self) -> dict[str, object]:
        """Say what was compared with what, and how, as far as anybody may know it."""
        return dict(_published(self.report))


def measured(evaluation: Path, digest: str) -> Measured | None:
    """Read the newest evaluation of a run; None where nothing was measured.

    Args:
        evaluation: The run's folder of evaluations.
        digest: SHA-256 of the checkpoint.

    Raises:
        ValueError: If the report is damaged.
    """
    try:
        report = read_report(evaluation / REPORT)
    except FileNotFoundError:
        return None
    own = [row for row in report.rows if row.facts.get("sha256") == digest]
    return Measured(report, own or list(report.rows), bool(own)) if report.rows else None


def _published(report: Report) -> Iterator[tuple[str, object]]:
    for name in _OF_PROTOCOL:
        if name in report.protocol:
            yield name, report.protocol[name]
    fingerprint = re.search(r"fingerprint (\w+)$", str(report.protocol.get("reference", "")))
    if fingerprint:
        yield "fingerprint of the real images", fingerprint[1]
    if str(report.protocol.get("class balance", "")).startswith("NOT"):
        yield "class balance", "not matched: the real images have other classes"
