"""What the newest evaluation of a run has measured: each figure between its floor and its ceiling."""

from __future__ import annotations

from datamodules.pages.html import picture, section, text
from lightning_modules.evaluation.report import REPORT, Report, Row, cell
from lightning_modules.metrics.figure import Figure, Figures
from lightning_modules.metrics.table import METRICS
from lightning_modules.report.pictures import embedded
from lightning_modules.report.record import Record, newest_evaluation

_MOST_ROWS = 4
_PLACES = 1000


def quality(record: Record, report: Report) -> str:
    """Return the section of an evaluation: figures, what they are read as, the nearest training images."""
    parts = [] if report.complete else ["<p>The evaluation has not come to its end.</p>"]
    parts += [_row(report, row) for row in report.rows[:_MOST_ROWS]]
    if len(report.rows) > _MOST_ROWS:
        parts.append(f'<p class="more">and {len(report.rows) - _MOST_ROWS:,} more, all in {REPORT}</p>')
    parts += [_closest(record), _protocol(report)]
    return section("Quality", "".join(parts))


def _row(report: Report, row: Row) -> str:
    names = [name for name in METRICS if name in row.figures]
    lines = "".join(_line(name, row.figures, report.floor, report.ceiling) for name in names)
    heads = ("figure", "these samples", "floor: real images", "ceiling: noise", "from noise to real")
    head = f"<tr>{''.join(f'<th>{each}</th>' for each in heads)}</tr>"
    said = [*report.words(row)] if _has_kid(report, row) else []
    said += [f"{METRICS[name].title} {METRICS[name].caution}" for name in names if METRICS[name].caution]
    words = "".join(f"<p>{text(each[0].upper() + each[1:])}.</p>" for each in said)
    refused = {
        f"{METRICS[name].title} is refused: {row.figures[name].note}"
        for name in names
        if row.figures[name].value is None
    }
    notes = "".join(f'<p class="soft">{text(note)}</p>' for note in sorted(refused))
    table = f'<div class="wide"><table class="list numbers">{head}{lines}</table></div>'
    return f"<h3>{text(row.name)}</h3>{table}{words}{notes}"


def _line(name: str, figures: Figures, floor: Figures, ceiling: Figures) -> str:
    metric = METRICS[name]
    arrow = "lower is better" if metric.lower_is_better else "higher is better"
    cells = "".join(f"<td>{text(cell(side.get(name)))}</td>" for side in (figures, floor, ceiling))
    gauge = _gauge(metric.title, figures.get(name), floor.get(name), ceiling.get(name))
    return f"<tr><td>{text(metric.title)} <small>{arrow}</small></td>{cells}<td>{gauge}</td></tr>\n"


def _gauge(title: str, found: Figure | None, floor: Figure | None, ceiling: Figure | None) -> str:
    """Draw where a figure lies from the ceiling at the left to the floor at the right, with its interval."""
    values = [each.value if each is not None else None for each in (found, floor, ceiling)]
    value, best, worst = values
    if value is None or best is None or worst is None or best == worst or found is None:
        return ""

    def place(number: float) -> float:
        return _PLACES * min(1.0, max(0.0, (number - worst) / (best - worst)))

    ends = sorted(place(end) for end in (found.low, found.high) if end is not None)
    low, high = (ends[0], ends[-1]) if len(ends) == 2 else (place(value), place(value))
    share = (value - worst) / (best - worst)
    said = f"{title}: {share:.0%} of the way from noise to real images"
    return (
        f'<svg class="gauge" viewBox="0 0 {_PLACES} 60" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(said)}"><title>{text(said)}</title>'
        f'<rect class="rail" y="24" width="{_PLACES}" height="12"/>'
        f'<rect class="span" x="{low:.0f}" y="24" width="{max(high - low, 4):.0f}" height="12"/>'
        f'<rect class="at" x="{min(place(value), _PLACES - 14):.0f}" y="8" width="14" height="44"/></svg>'
    )


def _closest(record: Record) -> str:
    folder = newest_evaluation(record.run)
    found = sorted(folder.parent.glob("closest-pairs-*.png")) if folder is not None else []
    if not found or not (source := embedded(max(found, key=lambda path: path.stat().st_mtime_ns))):
        return ""
    shown = picture(source, "samples next to the training images that are nearest to them", "sheet")
    return f"<h3>Nearest training images</h3><figure>{shown}</figure>"


def _protocol(report: Report) -> str:
    lines = "".join(
        f"<tr><td>{text(str(name))}</td><td>{text(str(value))}</td></tr>"
        for name, value in report.protocol.items()
    )
    return f'<details><summary>How this was measured</summary><table class="list">{lines}</table></details>'


def _has_kid(report: Report, row: Row) -> bool:
    return all("kid" in side for side in (row.figures, report.floor, report.ceiling))


def copies(report: Report) -> list[str]:
    """Return what is said of rows whose samples are copies of training images, a sentence each."""
    return [row.memorization.describe() for row in report.rows if row.memorization and row.memorization.rings]


def steps(report: Report) -> list[int]:
    """Return the steps that were evaluated."""
    return [step for row in report.rows if isinstance(step := row.facts.get("step"), int)]
