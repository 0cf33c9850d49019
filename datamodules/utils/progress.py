"""How far something is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm
from tqdm.auto import tqdm as bar_here

from datamodules.utils.terminal import UnfailingStream, in_notebook, is_terminal, unfailing, width_options

LOG_SECONDS = 30.0
"""Time between the lines that stand in a log where a terminal would have a bar."""


def time_text(seconds: float) -> str:
    """Return a length of time in its two largest units, such as `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def progress(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:  # noqa: ANN401
    """Return tqdm's bar on a terminal or in a notebook; elsewhere one that says a line now and then.

    What is done before the first such line is due says nothing there.

    Args:
        iterable: What to go through, if anything.
        options: tqdm's.
    """
    stream = options.pop("file", None) or sys.stderr
    shown = bar(stream, iterable, **options)
    if shown is not None:
        return shown
    seconds = {"mininterval": LOG_SECONDS, "maxinterval": LOG_SECONDS, "delay": LOG_SECONDS}
    return LogLines(iterable, **{**options, **seconds, "miniters": 1}, file=unfailing(stream))


def bar(stream: Any, iterable: Iterable[Any] | None = None, **options: Any) -> tqdm[Any] | None:  # noqa: ANN401
    """Return tqdm's bar on a terminal or in a notebook, and None elsewhere.

    Args:
        stream: Where it is to be shown, unless in a notebook, which has bars of its own.
        iterable: What to go through, if anything.
        options: tqdm's.
    """
    if in_notebook():
        return bar_here(iterable, **options)
    if not is_terminal(stream):
        return None
    terminal = unfailing(stream)
    return tqdm(iterable, file=terminal, **{**width_options(terminal), **options})


class LogLines(tqdm):  # type: ignore[type-arg]
    """A bar without a bar: each refresh is a line."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line."""
        values = self.format_dict
        done, total, rate = values["n"], values["total"], values["rate"] or 0.0
        if msg is not None or not done:
            return
        size, unit = (self._sized, "") if self.unit_scale else (_with_commas, f" {_several(self.unit)}")
        of = f" of {size(total)}" if total else ""
        speed = f", {size(rate) if rate >= 10 else f'{rate:.2g}'}{unit}/s" if rate else ""
        left = f", {time_text((total - done) / rate)} left" if total and rate and done < total else ""
        text = f"{self.desc.removesuffix(': ')}: {size(done)}{of}{unit}{speed}{left}"
        self.fp.write(f"{text}\n")

    def close(self) -> None:
        """End, and say so where something was said before."""
        if self.disable:
            return
        if self.last_print_t >= self.start_t + (self.delay or 0.0) and self.n > self.last_print_n:
            self.display()
        self.leave, self.sp = False, _nothing
        file, self.fp = self.fp, UnfailingStream(None)
        super().close()
        self.fp = file

    def _sized(self, number: float) -> str:
        return f"{self.format_sizeof(number)}{self.unit}"


def _with_commas(number: float) -> str:
    return f"{number:,.0f}"


def _several(unit: str) -> str:
    return f"{unit}es" if unit.endswith(("s", "x", "ch")) else f"{unit}s"


def _nothing(*_: object) -> None:
    """Show nothing."""
