"""Waiting for the emulator's state to change, from its event loop and from the test's thread."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable


class Changes:
    """Wakes whoever waits, at every change of any state; the waiting re-check their own condition."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()
        self._condition = threading.Condition()

    def notify(self) -> None:
        """Report a change; from the event loop only."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)
        self._futures.clear()
        with self._condition:
            self._condition.notify_all()

    async def until(self, predicate: Callable[[], object], timeout: float | None = None) -> bool:
        """Wait in the event loop until `predicate()` is true; False after `timeout` seconds without it."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not predicate():
            future: asyncio.Future[None] = loop.create_future()
            self._futures.add(future)
            remaining = None if deadline is None else max(0.0, deadline - loop.time())
            try:
                await asyncio.wait_for(future, remaining)
            except TimeoutError:
                return bool(predicate())
            finally:
                self._futures.discard(future)
        return True

    def wait(self, predicate: Callable[[], object], timeout: float) -> bool:
        """Wait in a test's thread until `predicate()` is true; False after `timeout` seconds without it."""
        with self._condition:
            return bool(self._condition.wait_for(predicate, timeout))


class Ids:
    """Identifiers in the shape of the service's: a prefix that names the kind, and 22 digits."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self, prefix: str) -> str:
        """Return an identifier not given before."""
        return f"{prefix}-{next(self._count):022d}"
