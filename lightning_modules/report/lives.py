"""The lives of a run as a strip: a bar a life along the steps, what ended it, and what was lost."""

from __future__ import annotations

from collections.abc import Sequence

from datamodules.pages.html import text
from lightning_modules.cost.cost import duration
from lightning_modules.pictures.charts import Axis, tick_label
from lightning_modules.report.record import Record
from lightning_modules.report.words import counted, ending, moment
from lightning_modules.run.lives import Ending, Life

_FIRST, _LAST = 5, 25  # lives that are shown of a run that had more
_WIDE = 1000
_LOOKS: dict[Ending, str] = {
    "finished": "good",
    "training": "going",
    "killed": "problem",
    "error": "problem",
    "memory": "look",
    "rolled back": "look",
}


def strip(record: Record) -> str:
    """Return the strip, empty where no lives are known."""
    lives = list(record.lives)
    if not lives:
        return ""
    end = max([record.target or 0, 1, *(life.reached for life in lives)])
    rows = [_row(number, life, record, end) for number, life in enumerate(lives, 1)]
    if len(rows) > _FIRST + _LAST:
        hidden = lives[_FIRST:-_LAST]
        lost = sum(life.lost or 0 for life in hidden)
        between = f"{counted(len(hidden), 'more life', 'more lives')}, which lost {counted(lost, 'step')}"
        rows[_FIRST:-_LAST] = [f'<li class="more">{between}</li>']
    return f'<ol class="lives">{"".join(rows)}</ol>{_axis(end)}{_key(lives)}'


def marks(lives: Sequence[Life], most: int = 40) -> list[tuple[float, str]]:
    """Return where lives ended that others went on from, for charts; none where there are too many."""
    ended = [(float(life.reached), f"life {number} {ending(life)}") for number, life in enumerate(lives, 1)]
    return ended[:-1] if len(ended) <= most else []


def _row(number: int, life: Life, record: Record, end: int) -> str:
    last = number == len(record.lives)
    lost = record.at_stake if last else life.lost or 0
    look = _LOOKS.get(life.end, "asked")
    began = "began" if not life.step else f"went on at step {life.step:,}"
    said = f"Life {number} {began}, {ending(life)}"
    facts = " &middot; ".join(text(part) for part in (duration(life.seconds), *_where(life)) if part)
    where = f"<span>{text(moment(life.began))}</span><span>{facts}</span>"
    kept = max(life.step, life.reached - lost)
    bar = (
        f'<svg class="bar" viewBox="0 0 {_WIDE} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(said)}"><rect class="rail" width="{_WIDE}" height="10"/>'
        f"{_part(life.step, kept, end, look)}{_part(kept, life.reached, end, 'lost')}</svg>"
    )
    return (
        f'<li class="{look}"><div class="name"><b>Life {number}</b>{where}</div>{bar}'
        f'<div class="words">{text(_words(life, lost, last))}</div></li>\n'
    )


def _words(life: Life, lost: int, last: bool) -> str:
    said = f"{ending(life)[0].upper()}{ending(life)[1:]}."
    if life.step and life.end != "finished":
        said = f"From step {life.step:,}. {said}"
    elif life.step:
        said = f"From step {life.step:,} it {ending(life)}."
    if life.end in ("finished", "training"):
        return said
    if not lost:
        return f"{said} Nothing is lost."
    if life.end == "rolled back":
        return f"{said} {counted(lost, 'step')} undone, with other data in their place."
    if last:
        return f"{said} {counted(lost, 'step')} to be taken again."
    return f"{said} {counted(lost, 'step')} lost, and taken again."


def _where(life: Life) -> list[str]:
    host, device, many = (life.facts.get(name) for name in ("host", "device", "processes"))
    place = str(device or "")
    if isinstance(many, int) and many > 1:
        place = f"{many} x {place}"
    return [str(host) if host not in (None, "local") else "", place]


def _part(begin: int, end: int, whole: int, kind: str) -> str:
    if end <= begin and kind == "lost":
        return ""
    left, width = _WIDE * begin / whole, max(2.0, _WIDE * (end - begin) / whole)
    return f'<rect class="{kind}" x="{left:.1f}" width="{width:.1f}" height="10"/>'


def _axis(end: int) -> str:
    ticks = [tick for tick in Axis([0, end], (0, 6), 1, logarithmic=False).ticks if 0 <= tick <= end]
    marks = "".join(
        f'<span style="left:{100 * tick / end:.2f}%">{text(tick_label(tick))}</span>' for tick in ticks
    )
    return f'<div class="lives-axis" aria-hidden="true"><div>{marks}</div></div>'


def _key(lives: Sequence[Life]) -> str:
    if not any(life.lost for life in lives):
        return ""
    return '<p class="soft"><i class="swatch lost"></i> steps that were lost with a life, and taken again</p>'
