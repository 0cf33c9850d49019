"""The systems that the project runs on, told before anything is imported that others lack."""

from __future__ import annotations

import sys

NEEDS = "Nine Lives runs on Linux and macOS"
WSL = "On Windows install WSL (Windows Subsystem for Linux) once, and give the same commands in its shell."


def unsupported() -> str | None:
    """Return why this system cannot run the project and what can be done, in a line; None if it can."""
    if sys.platform in ("win32", "cygwin", "msys"):
        return f"{NEEDS}. {WSL}"
    try:
        import fcntl  # noqa: F401
    except ImportError:
        return f"{NEEDS}, and this Python lacks what both have (the module fcntl)."
    return None


def refuse_unsupported() -> None:
    """End a command on a system that cannot run it.

    Raises:
        SystemExit: With status 2, on such a system.
    """
    from datamodules.utils.exit_codes import REFUSED  # here, since scripts run this file by its path

    reason = unsupported()
    if reason is not None:
        sys.stderr.write(f"error: {reason}\n")
        sys.exit(REFUSED)
