"""The lives of a run: when each began, what ended it, where the next one went on, and what that cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from lightning_modules.run.journal import ALIVE, END, START, Entry, read_journal
from lightning_modules.run.lock import is_held

Ending = Literal[
    "finished", "signal", "budget", "time", "memory", "rolled back", "error", "killed", "training"
]
"""What ended a life. Of `killed` a journal has no line, nor of `training`, which goes on."""

ENDS: tuple[Ending, ...] = get_args(Ending)


@dataclass(frozen=True)
class Life:
    """A process that trained a run, or one attempt of it, between two accidents that it recovered from.

    Attributes:
        began: When, in seconds since the epoch.
        step: Steps that had been taken when it began.
        reached: Steps that had been taken when it was seen last.
        seen: When that was; its end, if it saw that itself.
        end: What ended it.
        detail: Which signal, which error; may be empty.
        lost: Steps that it took and the next life did not go on from; None while nobody knows.
        facts: What was noted at its start: device, processes, versions.
    """

    began: float
    step: int
    reached: int
    seen: float
    end: Ending
    detail: str = ""
    lost: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it lasted, as far as is known."""
        return max(0.0, self.seen - self.began)


def lives_of(folder: Path) -> list[Life]:
    """Return the lives of a run, the first one first, as its `telemetry.jsonl` tells.

    A run that has been copied from elsewhere while it trained looks like one that was killed.

    Args:
        folder: The run directory.
    """
    return told(read_journal(folder), is_held(folder))


def told(entries: Iterable[Entry], training: bool = False) -> list[Life]:
    """Return the lives that a journal tells of.

    Args:
        entries: Its lines.
        training: Whether the last one goes on, unless the journal has its end.
    """
    lives: list[Life] = []
    for entry in entries:
        event, step, time = entry["event"], int(entry["step"]), float(entry["time"])
        if event == START:
            lives = [*_continued(lives, step), Life(time, step, step, time, "killed", facts=entry)]
        elif lives and event == ALIVE:
            lives[-1] = _changed(lives[-1], reached=max(step, lives[-1].step), seen=time)
        elif lives and event == END:
            how = entry.get("how")
            end = cast(Ending, how) if how in ENDS else "error"
            detail = str(entry.get("detail", ""))
            lives[-1] = _changed(lives[-1], reached=step, seen=time, end=end, detail=detail)
    if lives and training and lives[-1].end == "killed":
        lives[-1] = _changed(lives[-1], end="training")
    return lives


def _continued(lives: Sequence[Life], step: int) -> list[Life]:
    """Return the lives, of which the last is known to have lost what was taken behind a step."""
    if not lives:
        return []
    last = lives[-1]
    # Its newest checkpoint can be ahead of its last sign of life, which is not left after every step.
    reached = max(last.reached, step) if last.end == "killed" else last.reached
    return [*lives[:-1], _changed(last, reached=reached, lost=max(0, reached - step))]


def _changed(life: Life, **values: Any) -> Life:  # noqa: ANN401
    return Life(**{**vars(life), **values})
