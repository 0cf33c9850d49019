"""When and how a container's fault strikes it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Callable

from .calls import Input
from .containers import Container
from .faults import Kind
from .service import Request

STOP_GRACE = 30.0  # seconds that a container which is told to end has for it


class Striker:
    """Watches containers for the moment of their fault, and signals them.

    Args:
        find: the container of a task id, if there is one.
    """

    def __init__(self, find: Callable[[str], Container | None]) -> None:
        self._find = find
        self._seen: dict[str, Counter[str]] = defaultdict(Counter)

    def arm(self, container: Container, item: Input) -> None:
        """Start the clocks of an input that was handed over: of the function's timeout, and of the fault."""
        run = len(item.task_ids)

        def time_out() -> None:
            if container.inputs.get(item.input_id) is item and len(item.task_ids) == run:
                self.strike(container, Kind.TIME_OUT)

        if container.definition.timeout_secs:
            later(container, container.definition.timeout_secs, time_out)
        fault = container.fault
        if container.taken > 1:
            return
        if fault.after is not None:
            later(container, fault.after, lambda: self.strike(container, fault.kind, fault.grace))
        elif fault.on_log is None and fault.on_request is None:
            self.strike(container, fault.kind, fault.grace)

    def strike(self, container: Container, kind: Kind, grace: float = STOP_GRACE) -> None:
        """Do to a container what the kind of fault says."""
        if kind is Kind.NOTHING or container.ending is not None:
            return
        container.ending = kind
        if kind is Kind.PREEMPT:
            container.interrupt()
            later(container, grace, container.kill)
        else:
            container.kill()

    def saw_line(self, container: Container, line: str) -> None:
        """Strike when the line is the one that the container's fault waits for."""
        pattern = container.fault.on_log
        if pattern is not None and re.search(pattern, line):
            self._count(container, "line")

    def saw_request(self, request: Request) -> None:
        """Strike when the request is the one that the container's fault waits for."""
        container = self._find(request.task_id)
        if container is not None and container.fault.on_request == request.method:
            self._count(container, "request")

    def _count(self, container: Container, trigger: str) -> None:
        self._seen[container.task_id][trigger] += 1
        if self._seen[container.task_id][trigger] == container.fault.count:
            self.strike(container, container.fault.kind, container.fault.grace)


def later(container: Container, seconds: float, action: Callable[[], None]) -> None:
    """Do something after some seconds, if the container has not ended by then."""
    container.timers.append(asyncio.get_running_loop().call_later(seconds, action))
