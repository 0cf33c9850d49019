"""The figures of a run that its page tells: those of its newest evaluation, with floor and ceiling."""

from __future__ import annotations

from lightning_modules.evaluation.report import REPORT, Report, Row, cell
from lightning_modules.evaluation.stored_report import read_report
from lightning_modules.metrics.figure import Figure
from lightning_modules.metrics.table import METRICS
from lightning_modules.run.directory import RunDirectory

Told = list[dict[str, str]]


def run_figures(run: RunDirectory, digest: str) -> Told:
    """Return what the run's evaluation has measured, each figure with what it is to be compared with.

    Args:
        run: The run.
        digest: SHA-256 of the checkpoint whose figures are wanted; without them those of the last row are
            told, which say what they are of.

    Raises:
        ValueError: If the report is damaged.
    """
    try:
        report = read_report(run.evaluation / REPORT)
    except FileNotFoundError:
        return []
    if not report.rows:
        return []
    own = [row for row in report.rows if row.facts.get("sha256") == digest]
    row = (own or list(report.rows))[-1]
    told = [_measured(report, row, of_this=bool(own))]
    told += [_told(name, figure, report) for name, figure in row.figures.items() if name in METRICS]
    if row.memorization is not None:
        verdict, _, why = row.memorization.describe().partition(": ")
        told.append({"name": "memorization", "value": verdict, "note": why})
    return told


def _measured(report: Report, row: Row, *, of_this: bool) -> dict[str, str]:
    """Say what was measured, and how."""
    how = "; ".join(
        f"{name}: {report.protocol[name]}"
        for name in ("N on each side", "features", "reference", "floor", "ceiling")
        if name in report.protocol
    )
    other = "" if of_this else "of another checkpoint or other weights than this page's; "
    return {"name": "measured", "value": row.name, "note": f"{other}{how}"}


def _told(name: str, figure: Figure, report: Report) -> dict[str, str]:
    metric = METRICS[name]
    parts = [
        f"{'lower' if metric.lower_is_better else 'higher'} is better",
        f"floor (real images) {cell(report.floor.get(name))}",
        f"ceiling (noise) {cell(report.ceiling.get(name))}",
        *([metric.caution] if metric.caution else []),
        *([figure.note] if figure.note else []),
    ]
    return {"name": metric.title, "value": cell(figure), "note": "; ".join(parts)}
