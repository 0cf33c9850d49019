"""A run's `telemetry.jsonl`: what happens to it, one JSON object a line, and a sign of life at every step."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamodules.utils.io import sync
from lightning_modules.run.directory import RunDirectory

Entry = dict[str, Any]

START, ALIVE, END = "start", "alive", "end"
"""Events: a life begins; it is seen, in a line that is overwritten; it ends in a way that it sees itself."""

LATEST = 253_402_300_799
"""The last second of the year 9999, and of the calendar."""

_log = logging.getLogger(__name__)
_LARGEST = 2**53  # no whole number of a journal is larger; one that is does not fit into a float
_ALIVE_BYTES = 80
_MOST_PENDING = 100  # lines that the disk has refused
_SHARE = 0.002
"""Share of the time that signs of life may take: they become rarer where the file system is slow.

The quickest of the last few says how slow it is: others may have waited for a processor."""
_RECENT = 8


class Journal:
    """Write down what happens to a run. Where the disk refuses, the run goes on, and lines come later.

    A sign of life overwrites the one before in the page cache, without waiting for the disk: it survives the
    process, though not a power cut.

    Args:
        folder: The run directory.
        clock: Seconds that pass.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self.path = RunDirectory(folder).telemetry
        self._clock = clock
        self._pending: list[bytes] = []
        self._file: int | None = None  # for signs of life, which stand at `_place`
        self._place = 0
        self._not_before = 0.0
        self._took: deque[float] = deque(maxlen=_RECENT)
        self._refused = False

    def start(self, step: int, **facts: object) -> None:
        """Note that a life begins, with a first sign of it.

        Args:
            step: Steps taken.
            facts: What else is to be known, as plain values.
        """
        self._add(_line(START, step, facts))
        self._add(_alive(step), is_sign=True)

    def note(self, event: str, step: int, **facts: object) -> None:
        """Note something else."""
        self._add(_line(event, step, facts))

    def alive(self, step: int) -> None:
        """Leave a sign of life after a step, unless the last one is so young that it would cost time."""
        began = self._clock()
        if began < self._not_before:
            return
        if self._file is None:  # the disk has refused the first one
            self._add(_alive(step), is_sign=True)
        else:
            try:
                os.pwrite(self._file, _alive(step), self._place)
            except OSError as error:
                self._refuse(error)
        now = self._clock()
        self._took.append(now - began)
        self._not_before = now + (1.0 if self._pending else min(self._took) / _SHARE)

    def end(self, step: int, how: str, detail: str = "") -> None:
        """Note how a life ends.

        Args:
            step: Steps taken.
            how: One of the words of `lives.ENDS`.
            detail: Which signal, which error.
        """
        self._add(_line(END, step, {"how": how, "detail": detail} if detail else {"how": how}))
        self.close()

    def close(self) -> None:
        """Leave no more signs of life."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _add(self, line: bytes, is_sign: bool = False) -> None:
        self._pending.append(line)
        try:
            end = self._flush()
            if is_sign:
                self.close()
                self._place = end - len(line)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self._refuse(error)

    def _flush(self) -> int:
        """Append what is pending, and return where the file ends."""
        with self.path.open("a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":  # a torn line, which a full disk or a power cut has left
                    self._pending.insert(0, b"\n")
            content = b"".join(self._pending)
            written = file.write(content)
            if written != len(content):
                file.truncate(end)  # a whole line in it would be there twice later, as a life of its own
                raise OSError(f"{written} of {len(content)} bytes were written")
            self._pending.clear()
            sync(file)
            return file.seek(0, os.SEEK_END)

    def _refuse(self, error: OSError) -> None:
        if not self._refused:
            _log.warning("Training goes on. %s does not tell of it: %s", self.path, error)
        self._refused = True
        self._pending = [line for line in self._pending if line != b"\n"][-_MOST_PENDING:]


def read_journal(folder: Path) -> list[Entry]:
    """Return the whole lines of a run's `telemetry.jsonl`, in their order; none where there is no file.

    What a kill, a full disk or a power cut has left of a line is passed over.
    """
    try:
        lines = RunDirectory(folder).telemetry.read_bytes().split(b"\n")
    except OSError:
        return []
    return [entry for entry in map(_entry, lines) if entry is not None]


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line, parse_int=_bounded, parse_constant=_bounded)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        return None
    moment, step = entry.get("time"), entry.get("step")
    if not isinstance(moment, int | float) or not isinstance(step, int):
        return None
    return entry if step >= 0 and 0 <= moment <= LATEST else None


def _bounded(number: str) -> int:
    """Read a whole number.

    Raises:
        ValueError: If a run cannot have written it.
    """
    value = int(number)
    if abs(value) > _LARGEST:
        raise ValueError(f"{number} is too large")
    return value


def _line(event: str, step: int, facts: Entry) -> bytes:
    entry = {"event": event, "time": round(time.time(), 3), "step": step, **facts}
    return json.dumps(entry, default=str).encode() + b"\n"


def _alive(step: int) -> bytes:
    sign = f'{{"event": "{ALIVE}", "time": {time.time():.3f}, "step": {step}}}'
    return sign.ljust(_ALIVE_BYTES - 1).encode() + b"\n"
