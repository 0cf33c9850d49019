"""The signals that ask a process to stop."""

from __future__ import annotations

import signal

STOPPING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""What asks for an end: service managers and containers (TERM), Ctrl-C (INT), a closed terminal (HUP), batch
systems before a job's time is up (USR1, USR2) or when its computing time is (XCPU).

Not QUIT (Ctrl-backslash), which is there to end a process at once, nor TSTP (Ctrl-Z), which only pauses it.
"""
