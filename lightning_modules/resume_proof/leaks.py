"""Processes that a training process has left behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")


def leaked(sessions: Sequence[int], patience: float = 120.0) -> list[str]:
    """Return the processes that ended training processes have left behind, after time to end by themselves.

    Args:
        sessions: The training processes, each of which led a session of its own.
        patience: Seconds to wait for their end. Loader workers look for their parent every 5 s.
    """
    until = time.monotonic() + patience
    while (left := _members(set(sessions))) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _members(sessions: set[int]) -> list[str]:
    found = []
    for process in _processes():
        try:
            session = os.getsid(process)
        except (ProcessLookupError, PermissionError):
            continue  # it has just ended, or is another user's
        if session in sessions:
            found.append(f"process {process} of session {session}")
    return found


def _processes() -> list[int]:
    """Return the processes of the machine, without those that have ended and are only not yet asked for."""
    if not PROC.is_dir():  # macOS
        listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)
        pairs = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, state in pairs if not state.startswith("Z")]
    living = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue  # it has just ended
            if state != "Z":
                living.append(int(entry.name))
    return living
