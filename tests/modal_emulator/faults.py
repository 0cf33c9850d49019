"""What is to go wrong: one fault for each container of a function, in the order in which they start."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


class Kind(enum.Enum):
    """What happens to the container, and what becomes of its input."""

    NOTHING = "nothing"
    """The container runs undisturbed (`delay` may hold its start back)."""
    PREEMPT = "preempt"
    """SIGINT, then SIGKILL after `grace` seconds; the input is rescheduled and no failure is counted."""
    LOSE = "lose"
    """SIGKILL at once, as when the machine is lost; rescheduled, no failure counted."""
    FAIL = "fail"
    """SIGKILL at once, as when memory runs out; a failure, counted against the function's retries."""
    TIME_OUT = "time out"
    """SIGKILL at once, as when the function's `timeout` has passed; counted against the retries."""


@dataclass(frozen=True)
class Fault:
    """A fault and its moment; without `after`, `on_log` or `on_request`, when the input is handed over.

    Args:
        kind: what happens.
        after: seconds after the input was handed over.
        on_log: regular expression, searched in every line that the container prints.
        on_request: RPC of the container, e.g. `VolumeCommit`; the fault comes before it takes effect.
        count: at which occurrence of `on_log` or `on_request`.
        grace: seconds between SIGINT and SIGKILL of a preemption.
        delay: seconds that the container waits for a machine before it starts.
    """

    kind: Kind = Kind.NOTHING
    after: float | None = None
    on_log: str | None = None
    on_request: str | None = None
    count: int = 1
    grace: float = 30.0
    delay: float = 0.0


class Faults:
    """The faults still to come, by function name."""

    def __init__(self) -> None:
        self._planned: dict[str, list[Fault]] = defaultdict(list)

    def plan(self, function: str, faults: Iterable[Fault]) -> None:
        """Give the function's next containers these faults, one each; those after them run undisturbed."""
        self._planned[function].extend(faults)

    def next(self, function: str) -> Fault:
        """Take the fault of the container that starts."""
        planned = self._planned[function]
        return planned.pop(0) if planned else Fault()
