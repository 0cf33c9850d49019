"""What comes before every command: it needs nothing but Python, and scripts run it by its path."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from types import TracebackType

NUMBERS: tuple[str, ...]
NUMBERS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT")
NUMBERS += ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "JSM_NAMESPACE_RANK")
"""Variables of the environment that Lightning takes for whole numbers, some of them while it is imported."""


def forget_empty_numbers(environment: MutableMapping[str, str]) -> None:
    """Remove the variables that must hold a number and hold nothing, as in `RANK= ninelives fit`.

    Args:
        environment: The process's variables, which are changed.
    """
    for name in NUMBERS:
        if not environment.get(name, "-").strip():
            del environment[name]


def no_number(environment: Mapping[str, str]) -> str | None:
    """Return what is wrong with a variable that must hold a number and does not, or none.

    Args:
        environment: The process's variables.
    """
    for name in NUMBERS:
        value = environment.get(name, "0").strip()
        if not value.isdecimal():
            return f"the environment has {name}={value}, which is no whole number: unset {name}"
    return None


def quiet_when_stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Leave out the traceback of a Ctrl-C that comes before the command has begun, as `sys.excepthook`."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
