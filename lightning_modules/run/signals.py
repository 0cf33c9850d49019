"""Signals that ask a process to stop: the training loop does so between two steps."""

from __future__ import annotations

import _thread
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from datamodules.utils.stop_signals import STOPPING

AGAIN_AFTER = 1.0
"""Seconds until the same signal is a second request. `timeout`, shells and launchers signal a process and its
group, so that one request arrives twice."""

_REMINDED_AFTER = 0.05
IMPORT_PATIENCE = 1.0
"""Seconds that an import is waited for before an interruption."""


class StopRequestedError(Exception):
    """The run was asked to stop, and has been saved."""


class StopRequest:
    """What has asked this process to stop first, and whether somebody insists.

    Args:
        clock: Seconds that pass.

    Attributes:
        received: The first signal that has come.
        reminded: Whether the next one is not somebody's, but that of `remind`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.received: signal.Signals | None = None
        self.reminded = False
        self._clock = clock
        self._at = 0.0

    def note(self, number: int) -> bool:
        """Note a signal, and tell whether it insists: the first one again, from a person, after a second.

        Batch systems, closing terminals and the system itself repeat their signals; those never insist.
        """
        if self.received is None:
            self.received, self._at = signal.Signals(number), self._clock()
            return False
        if self.reminded:
            self.reminded = False
            return False
        insisting = number == self.received and number in (signal.SIGINT, signal.SIGTERM)
        return insisting and self._clock() - self._at >= AGAIN_AFTER

    @property
    def age(self) -> float:
        """Seconds since the first signal has come."""
        return self._clock() - self._at

    def remind(self) -> bool:
        """Let the handler of the signal that has come be called once more in a moment; tell if it will."""
        try:
            _thread.start_new_thread(self._remind, ())  # `threading` may be what was interrupted
        except RuntimeError:
            return False
        return True

    def _remind(self) -> None:
        time.sleep(_REMINDED_AFTER)
        if self.received is not None and callable(signal.getsignal(self.received)):
            self.reminded = True
            signal.pthread_kill(threading.main_thread().ident or 0, self.received)  # also out of a wait


class Interrupted(KeyboardInterrupt):
    """A signal has asked a command to stop.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __reduce__(self) -> tuple[type[Self], tuple[int], dict[str, object]]:
        """Let it be sent between processes, though its message is empty."""
        return type(self), (self.number,), self.__dict__


class SignalHandlers:
    """Handlers of the signals that ask a process to stop, within a `with` block of the main thread.

    A signal that is ignored when the block begins stays so: `nohup` ignores SIGHUP, and a shell SIGINT for
    what it starts in the background. Of those that others handle, only SIGINT and SIGTERM are taken over.

    A block within another one has its request: what came there is not forgotten, even if something has
    swallowed the exception that it raised.
    """

    def __init__(self) -> None:
        self.request = StopRequest()
        self._owner = os.getpid()
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in STOPPING}
            self._before = {number: each for number, each in handlers.items() if _is_free(number, each)}
            for each in handlers.values():
                outer = getattr(each, "__self__", None)
                if isinstance(outer, SignalHandlers) and outer._owner == self._owner:
                    self.request = outer.request
        self.listen()
        return self

    @property
    def received(self) -> signal.Signals | None:
        """The first signal that has come."""
        return self.request.received

    def requested(self) -> bool:
        """Tell whether a signal has come."""
        return self.received is not None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def listen(self) -> None:
        """Put the handlers in place, again where something has replaced them since."""
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.take(number, frame)
        elif number == signal.SIGTERM:  # a loader worker between its fork and its own handlers
            die_of(number)

    def take(self, number: int, frame: FrameType | None) -> None:
        """Do what a signal asks for, which came while a frame was being executed."""
        raise NotImplementedError


class StopSignals(SignalHandlers):
    """Note that a signal has come, and die of it if somebody insists.

    The handler sets a flag and nothing more. An exception out of a handler could come in the middle of an
    optimizer step, or in a place of the standard library that swallows it.
    """

    def take(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        first = self.request.received is None
        if self.request.note(number):
            die_of(number)
        if first:
            _announce(signal.Signals(number))


class Interruptions(SignalHandlers):
    """Raise `Interrupted` for a signal, and die of it if somebody insists: for all that is not training.

    The end of an import is waited for: libraries swallow what is raised in the middle of theirs (`except:`),
    and those in C++ end the process with a dump.

    Args:
        leave: Ends the process at once, where an import takes longer than `IMPORT_PATIENCE`; None raises in
            the middle of it then.
    """

    def __init__(self, leave: Callable[[int], object] | None = None) -> None:
        super().__init__()
        self._leave = leave

    def __enter__(self) -> Self:
        self._imports = _imports(sys._getframe())
        super().__enter__()
        if self.received is not None:
            self.__exit__(None, None, None)
            raise Interrupted(self.received)
        return self

    def take(self, number: int, frame: FrameType | None) -> None:
        """Raise at the first signal.

        Raises:
            Interrupted: With its number.
        """
        due = self.received is None or self.request.reminded
        if self.request.note(number):
            die_of(number)
        if not due:
            return
        first = self.received or number
        if _imports(frame) > self._imports:
            if self.request.age < IMPORT_PATIENCE and self.request.remind():
                return
            if self._leave is not None:
                self._leave(first)
        raise Interrupted(first)


def _imports(frame: FrameType | None) -> int:
    """Count the frames of imports that are under way."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back
    return count


def die_of(number: int) -> None:
    """End this process by a signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _is_free(number: signal.Signals, handler: object) -> bool:
    if handler is signal.SIG_IGN:
        return False
    taken_over = number in (signal.SIGINT, signal.SIGTERM)
    ours = isinstance(getattr(handler, "__self__", None), SignalHandlers)
    return taken_over or ours or handler is signal.SIG_DFL


def _announce(number: signal.Signals) -> None:
    """Say that the signal was heard, if that can be said at once: what comes first is to save."""
    more = "; once more stops at once" if number in (signal.SIGINT, signal.SIGTERM) else ""
    if sys.__stderr__ is None:
        return
    # Not `logging` or `print`: the signal may have come in the middle of one of them.
    with contextlib.suppress(OSError, ValueError):
        descriptor = sys.__stderr__.fileno()
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, f"\n{number.name}: finishing this step and saving{more}.\n".encode())
