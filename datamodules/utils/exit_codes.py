"""Exit statuses of every command, which shells, schedulers and Modal read."""

from __future__ import annotations

FAILED = 1
"""It could not be done, or a check has failed."""
REFUSED = 2
"""The command line, or what it means, was refused: nothing was begun."""
RESUME = 75
"""It was asked to stop and has kept what is done: the same command goes on (EX_TEMPFAIL)."""


def stopped_by(number: int) -> int:
    """Return the shell's status of a command that a signal ended: 130 after Ctrl-C."""
    return 128 + number
