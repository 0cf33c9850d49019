"""A run in a few sentences."""

from __future__ import annotations

from datetime import UTC, datetime

from datamodules.utils.text import shortened
from lightning_modules.cost.cost import duration
from lightning_modules.report.record import Record
from lightning_modules.run.lives import Ending, Life

_ABRUPT: tuple[Ending, Ending] = ("killed", "error")
"""Ends that were not asked for, nor recovered from by the process itself."""
_UNITS = ((1e9, "billion"), (1e6, "million"), (1e3, "thousand"))


def story(record: Record) -> str:
    """Tell a run in a few sentences: what was trained on what, how far, and what happened to it."""
    return " ".join(filter(None, [_what(record), _how_far(record), _what_happened(record)]))


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number and a noun: `1 step`, `2,000 steps`."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def moment(seconds: float) -> str:
    """Return a time in words, UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def large(number: float) -> str:
    """Return a large number with three digits: `3.04 million`."""
    for size, name in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"


def images_seen(record: Record) -> int | None:
    """Return how many images the run's steps have seen; None where that is not known."""
    per_step = record.fact("images_per_step")
    if isinstance(per_step, int):
        return record.step * per_step
    seen = record.curve("images_seen")
    return round(seen[-1][1]) if seen else None


def seconds_trained(record: Record) -> float | None:
    """Return how long the run's processes have trained; None where that is not known."""
    return sum(life.seconds for life in record.lives) if record.lives else None


def ending(life: Life) -> str:
    """Say what ended a life."""
    at = f"at step {life.reached:,}"
    detail = shortened(life.detail, 200)
    return {
        "finished": f"came to its end {at}",
        "signal": f"stopped by {detail or 'a signal'} and saved {at}",
        "budget": f"stopped {at}, since the budget was used up, and saved",
        "time": f"handed over {at}, since its container's time was up",
        "memory": f"ran out of memory {at}; from there on a batch is computed in smaller parts",
        "rolled back": f"went back {at}: {detail or 'training diverged'}",
        "error": f"failed {at}: {detail or 'with an error'}",
        "killed": f"killed without a word {at}, or its power was cut",
        "training": f"trains now, {at}",
    }[life.end]


def _what(record: Record) -> str:
    kind = str(record.setting("model.class_path") or "").rpartition(".")[2].removesuffix("Diffusion")
    parameters = record.fact("parameters")
    size = f" of {large(parameters)} parameters" if isinstance(parameters, int) else ""
    model = f"A {kind}{size}" if kind else f"A model{size}"
    images, classes = record.fact("images"), len(record.data.class_names) if record.data else 0
    if not isinstance(images, int) and record.data:
        images = len(record.data.hashes)
    data = f", trained on {counted(images, 'image')}" if isinstance(images, int) else ""
    if data and classes > 1:
        data += f" of {classes:,} classes"
    side = record.setting("data.image_size")
    pixels = f", {side} x {side} pixels" if isinstance(side, int) and data else ""
    return f"{model}{data}{pixels}."


def _how_far(record: Record) -> str:
    of = f" of {record.target:,}" if record.target else ""
    seconds = seconds_trained(record)
    took = f" in {duration(seconds)}" if seconds else ""
    if record.in_training:
        return f"It is being trained, and has taken {record.step:,}{of} steps{took}."
    if not record.step:
        return "It has no checkpoint yet."
    return f"It has taken {record.step:,}{of} steps{took}."


def _what_happened(record: Record) -> str:
    killed, failed = (sum(life.end == end for life in record.lives) for end in _ABRUPT)
    stopped = sum(life.end in ("signal", "budget", "time") for life in record.lives)
    recovered = sum(life.end in ("memory", "rolled back") for life in record.lives)
    happened = [
        f"was killed {_times(killed)}" if killed else "",
        f"failed {_times(failed)}" if failed else "",
        f"was stopped {_times(stopped)}" if stopped else "",
        f"recovered from an accident {_times(recovered)}" if recovered else "",
    ]
    said = [each for each in happened if each]
    if not said:
        return ""
    told = " and ".join(filter(None, [", ".join(said[:-1]), said[-1]]))
    lost = f"{counted(record.lost, 'step')} lost" if record.lost else "no step was lost"
    were = "" if not record.lost else " was" if record.lost == 1 else " were"
    again = lost.replace(" lost", f"{were} lost and taken again") if record.lost else lost
    return f"It {told}: {again}."


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
