"""The figures of a run that its page tells: those of its newest evaluation, with floor and ceiling."""

from __future__ import annotations

from lightning_modules.evaluation.published import Measured, measured
from lightning_modules.evaluation.report import Report, cell
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
    found = measured(run.evaluation, digest)
    if found is None:
        return []
    row = found.rows[-1]
    told = [{"name": "measured", "value": row.name, "note": _how(found)}]
    told += [_told(name, figure, found.report) for name, figure in row.figures.items() if name in METRICS]
    if row.memorization is not None:
        verdict, _, why = row.memorization.describe().partition(": ")
        told.append({"name": "memorization", "value": verdict, "note": why})
    return told


def _how(found: Measured) -> str:
    """Say how it was measured."""
    said = [f"{name}: {value}" for name, value in found.protocol().items()]
    if not found.of_checkpoint:
        said.insert(0, "of another checkpoint than this page's")
    return "; ".join(said)


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
