"""Which run a job continues or starts, from the names on the runs Volume: the same rule as on a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lightning_modules.checkpoints.names import is_checkpoint, step_of
from lightning_modules.run.directory import CHECKPOINTS, LATEST
from lightning_modules.run.names import run_name

_CHECKPOINT = re.compile(rf"(?P<run>[^/]+)/{CHECKPOINTS}/(?P<file>[^/]+)")


class Chosen(NamedTuple):
    """A run.

    Attributes:
        name: Its name.
        step: The step of its newest checkpoint; 0 if it has none, or is to be started.
        finished: Whether it has reached the target.
    """

    name: str
    step: int
    finished: bool


def choose(
    paths: Iterable[str], experiment: str, max_steps: int, run: str | None, fresh: bool, now: datetime
) -> Chosen:
    """Return the run that a job means: the named one, or the newest one with a checkpoint, or another one.

    Args:
        paths: Files of the experiment on the Volume, relative to the Volume.
        experiment: Name of the experiment.
        max_steps: The target, negative if not set.
        run: The run's name, where one is given.
        fresh: Whether to start another run in any case.
        now: The time, of which a run that is started gets its name.
    """
    steps: dict[str, int] = {}
    for path in paths:
        match = _CHECKPOINT.fullmatch(path.strip("/").removeprefix(f"{experiment}/"))
        if match is not None and match["run"] != LATEST and is_checkpoint(Path(match["file"])):
            steps[match["run"]] = max(step_of(Path(match["file"])), steps.get(match["run"], 0))
    if run is None and (fresh or not steps):
        return Chosen(run_name(now.astimezone(UTC)), 0, False)
    name = run or max(steps)
    step = steps.get(name, 0)
    return Chosen(name, step, 0 <= max_steps <= step and name in steps)
