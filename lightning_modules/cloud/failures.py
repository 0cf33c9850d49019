"""Errors on their way out of a container: told once, in one line, and not tried again for nothing."""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamodules.utils.exit_codes import FAILED

_OWN = ("lightning_modules.", "datamodules.")
_REMOTE_TRACEBACK = "Here is the remote traceback:"
_LONGEST_CALL = 7 * 86400.0
"""Seconds after which what is noted of a call is of no use: Modal keeps no call so long."""


class TrainingFailedError(RuntimeError):
    """Training ended with an error that it has a sentence for."""


def one_line(error: BaseException) -> str:
    """Return what an error says to a user; that of a foreign class in one line, with the class's name."""
    name = type(error).__name__
    text = str(error).strip()
    if not text:
        return name
    if type(error).__module__.startswith(_OWN):
        return text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _REMOTE_TRACEBACK in text:  # an exception that has no class here; its last line names it
        return lines[-1]
    return f"{name}: {lines[0]}"


@contextmanager
def told_once() -> Iterator[None]:
    """End an entry point on the user's machine with one line and status 1 where something fails.

    A fault of the program has left its traceback in the container's log, which is shown on the same terminal.

    Raises:
        SystemExit: In place of every exception.
    """
    try:
        yield
    except Exception as error:
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
        sys.exit(FAILED)


@contextmanager
def leaving_the_container() -> Iterator[None]:
    """Let out of a container only what the user's machine can take in.

    Raises:
        RuntimeError: In place of an exception that cannot be sent, with its class's name and message.
    """
    try:
        yield
    except Exception as error:
        if _can_be_sent(error):
            raise
        raise RuntimeError(one_line(error)) from error


def without_traceback(error: BaseException) -> BaseException:
    """Return an error for raising whose message says it all.

    Modal prints every exception that leaves a function. Ours has its sentence; where in the code it was
    raised helps nobody. The setting is the process's, which ends with this error.
    """
    sys.tracebacklimit = 0
    error.__cause__, error.__suppress_context__ = None, True
    return error


class Failures:
    """How the earlier attempt of a call has failed, on the runs Volume: Modal's retries know nothing of it.

    Args:
        folder: Where to keep it.
        call: The call's id, the same at each of its attempts.
    """

    def __init__(self, folder: Path, call: str) -> None:
        self._file = folder / f"{call}.json"

    def again(self, error: BaseException, step: int) -> bool:
        """Note a failure, and return whether the attempt before failed at the same step in the same way.

        Args:
            error: What was raised.
            step: The last step that was done.
        """
        # Here, since the user's machine imports this module too, which may be one that has no locks.
        from datamodules.utils.io import read_json, write_json

        now = {"error": re.sub(r"0x[0-9a-fA-F]+", "0x", f"{type(error)}: {error}"), "step": step}
        before = None
        with contextlib.suppress(OSError, ValueError):
            before = read_json(self._file)
        with contextlib.suppress(OSError):
            write_json(self._file, now)
        return before == now

    def forget(self) -> None:
        """Remove what is noted of the call, and of calls that nobody can know any more."""
        for file in self._file.parent.glob("*.json"):
            if file == self._file or time.time() - file.stat().st_mtime > _LONGEST_CALL:
                file.unlink(missing_ok=True)


def _can_be_sent(error: BaseException) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False
