"""Processes that a training process has left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path


def leaked(sessions: Sequence[int], patience: float = 120.0) -> list[str]:
    """Return the processes that ended training processes have left behind, after time to end by themselves.

    Args:
        sessions: The training processes, each of which led a session of its own.
        patience: Seconds to wait for what is left of them. Loader workers look for their parent every 5 s.
    """
    until = time.monotonic() + patience
    while (left := _members(set(sessions))) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _members(sessions: set[int]) -> list[str]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:
                continue  # it has just ended
            fields = text.rpartition(")")[2].split()
            if int(fields[3]) in sessions and fields[0] != "Z":
                found.append(f"process {entry.name} of session {fields[3]}")
    return found
