"""SIGTERM and SIGINT as a wish that the training loop fulfils between two steps."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType

RESUME_STATUS = 75
"""Exit status of a run that was asked to stop, has saved, and wants to be resumed (EX_TEMPFAIL)."""

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopRequestedError(Exception):
    """The run was asked to stop, and has been saved."""


class StopSignals:
    """Note a first SIGTERM or SIGINT, and die of a second one, within a `with` block.

    The handler sets a flag and nothing more. An exception out of a handler could come in the middle of an
    optimiser step, or in a place of the standard library that swallows it.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._owner = os.getpid()
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in STOPPING}
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        self._before = {}

    def requested(self) -> bool:
        """Tell whether a signal has come."""
        return self.received is not None

    def listen(self) -> None:
        """Put the handlers in place, again where something has replaced them since."""
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a loader worker between its fork and its own handlers
            if number == signal.SIGTERM:
                _die_of(number)
            return
        if self.received is not None:
            _die_of(number)
        self.received = signal.Signals(number)
        # Not `logging` or `print`: the signal may have come in the middle of one of them.
        os.write(
            sys.__stderr__.fileno() if sys.__stderr__ else 2, _ANNOUNCEMENT % self.received.name.encode()
        )


_ANNOUNCEMENT = b"\n%s: finishing this step and saving; once more stops at once.\n"


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
