"""One training process from its start to its end, followed, and killed when its moment has come."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.resume_proof.child import Child
from lightning_modules.resume_proof.kills import Kill, Kind, Moment


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds, as an undisturbed run has shown.

    Attributes:
        startup: From a process' start to its first micro-batch.
        gaps: From a micro-batch's start to the next one's, or to the process' end, by number.
        writing: From the first byte of a checkpoint to its name.
        patience: Time without any sign of life after which a process is taken to hang.
    """

    startup: float = 5.0
    gaps: Mapping[int, float] = field(default_factory=dict)
    writing: float = 0.01
    patience: float = 24 * 3600.0


@dataclass
class Attempt:
    """What was seen of a training process.

    Attributes:
        log: The file with what it printed.
        batches: The number and the hash of every micro-batch that it began with.
        times: When, in seconds from its first sign of life.
        errors: What it logged as errors.
        writings: Seconds that the writing of each checkpoint took.
        killed: Whether a signal was sent, or a kill timer was set, before its end.
        hung: Whether it had to be aborted.
        status: Exit status, -N where it died of signal N.
        seconds: From its first sign of life to its end.
    """

    log: Path
    batches: list[tuple[int, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    writings: list[float] = field(default_factory=list)
    killed: bool = False
    hung: bool = False
    status: int = 0
    seconds: float = 0.0


class Watch:
    """Follow a process to its end.

    Args:
        child: The process, which has just been started.
        log: The file with what it prints.
        kill: How to kill it and when; None lets it live.
        pace: How long things take.
        seen: Called at every micro-batch.
    """

    def __init__(
        self,
        child: Child,
        log: Path,
        kill: Kill | None,
        pace: Pace,
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        self._child, self._kill, self._pace, self._seen = child, kill, pace, seen
        self._attempt = Attempt(log)
        self._born = self._last_sign = time.monotonic()
        self._writing_since = self._born
        self._due: float | None = None
        self._reached = False
        self._rest = b""
        os.set_blocking(child.reports, False)

    def follow(self) -> Attempt:
        """Return what was seen, when the process has ended. It is killed if this is interrupted."""
        attempt, child = self._attempt, self._child
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(child.reports, selectors.EVENT_READ)
                selector.register(child.ended, selectors.EVENT_READ)
                while True:
                    ready = {key.fd for key, _ in selector.select(self._timeout())}
                    if child.reports in ready and not self._read():
                        selector.unregister(child.reports)  # closed: it is about to end
                    if child.ended in ready:
                        break
                    self._act()
            while self._read():
                pass
        except BaseException:
            self._send(signal.SIGKILL)
            raise
        finally:
            os.close(child.reports)
        attempt.seconds = time.monotonic() - self._born
        attempt.status = _wait_for_status(child)
        if self._kill is not None and self._kill.detail in tuple(Moment):
            attempt.killed = attempt.killed or attempt.status == -signal.SIGKILL
        return attempt

    def _timeout(self) -> float:
        until = self._last_sign + self._pace.patience
        if self._due is not None and not self._attempt.killed:
            until = min(until, self._due)
        return max(0.0, until - time.monotonic())

    def _act(self) -> None:
        now = time.monotonic()
        if self._due is not None and now >= self._due and not self._attempt.killed and self._kill is not None:
            self._attempt.killed = self._send(self._kill.kind.signal)
        if now - self._last_sign > self._pace.patience:
            self._send(signal.SIGKILL if self._attempt.hung else signal.SIGABRT)
            self._attempt.hung = True
            self._last_sign = now

    def _send(self, number: signal.Signals) -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, number)
            return True
        return False

    def _read(self) -> bool:
        """Take in the lines that are there; tell whether there were any."""
        try:
            found = os.read(self._child.reports, 65536)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            what, _, text = line.decode(errors="replace").partition(" ")
            self._last_sign = time.monotonic()
            self._take_in(what, text.strip(), self._last_sign)
        return bool(found)

    def _take_in(self, what: str, text: str, now: float) -> None:
        attempt, kill = self._attempt, self._kill
        if what == "alive":
            self._born = now
            if kill is not None and kill.in_startup:
                self._due = now + kill.share * self._pace.startup
        elif what == "batch":
            number, _, digest = text.partition(" ")
            attempt.batches.append((int(number), digest))
            attempt.times.append(now - self._born)
            self._come_to(int(number), now)
            self._seen()
        elif what == "error":
            attempt.errors.append(text)
            if self._reached and kill is not None and kill.kind is Kind.FULL_DISK:
                self._due = self._due or now + kill.share * self._gap(attempt.batches[-1][0])
        elif what == "writing":
            self._writing_since = now
            if self._reached and kill is not None and kill.detail == Moment.BYTES:
                self._due = self._due or now + kill.share * self._pace.writing
        elif what == "whole":
            attempt.writings.append(now - self._writing_since)

    def _come_to(self, number: int, now: float) -> None:
        kill = self._kill
        if kill is None or kill.in_startup or number < kill.micro_batch:
            return
        self._reached = True
        if kill.kind not in (Kind.FULL_DISK, Kind.BETWEEN_WRITE_AND_RENAME):
            self._due = self._due or now + kill.share * self._gap(number)

    def _gap(self, number: int) -> float:
        return self._pace.gaps.get(number, 0.0)


def _wait_for_status(child: Child) -> int:
    while (status := child.status()) is None:
        time.sleep(0.001)  # the end is announced an instant before the status is there
    return status
