"""What all commands share: how they end when they are stopped, or refused."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from datamodules.utils.exit_codes import FAILED, REFUSED, stopped_by
from datamodules.utils.stop_signals import STOPPING
from datamodules.utils.terminal import guard_output, guarded_output
from lightning_modules.run.signals import Interruptions

REFUSALS = (OSError, ValueError, MemoryError, ModuleNotFoundError)
"""What is raised where a command cannot do what it was asked for."""
NOTHING_LOST = "Interrupted before training: nothing is lost."


def run_command(main: Callable[[], Any]) -> None:
    """Run a command as the whole of this process: neither its output nor its last moments change its status.

    Args:
        main: The command, which takes the process's command line.

    Raises:
        SystemExit: As the command does.
    """
    guard_output()
    try:
        with one_line_errors(errors=()):
            main()
    finally:  # what is left to do is to leave
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                last = signal.SIG_DFL if number in (signal.SIGINT, signal.SIGTERM) else signal.SIG_IGN
                signal.signal(number, last)


@contextmanager
def one_line_errors(
    stopped: str = "stopped",
    stopped_status: int | None = None,
    errors: tuple[type[Exception], ...] = REFUSALS,
    refused_status: int = FAILED,
    reword: Callable[[str], str] = str,
) -> Iterator[None]:
    """Let a command end with a line and a status where it is stopped or what it was asked for cannot be done.

    Args:
        stopped: What to say after Ctrl-C or another signal that asks for an end, if the exception has not
            been given its own words.
        stopped_status: The exit status then; None gives the shell's, 130 after Ctrl-C.
        errors: What is told in a line; all else is a fault of the program, whose traceback is worth having.
        refused_status: The exit status after such an error.
        reword: Gives what an error says in the words of this command.

    Raises:
        SystemExit: In place of the exception.
    """

    def leave(number: int) -> None:
        print(f"\n{stopped}", file=sys.stderr, flush=True)
        os._exit(stopped_by(number) if stopped_status is None else stopped_status)

    with guarded_output(), Interruptions(leave) as signals:
        try:
            yield
        except KeyboardInterrupt as stop:
            raise _ended(signals, str(stop) or stopped, stopped_status) from stop
        except Exception as error:
            if signals.requested():  # which an import that it interrupted may have turned into anything
                raise _ended(signals, stopped, stopped_status) from error
            if not isinstance(error, errors):
                raise
            message = f"error: {reword(error_line(error))}"
            if refused_status == FAILED:
                sys.exit(message)
            print(message, file=sys.stderr)
            sys.exit(refused_status)


def _ended(signals: Interruptions, words: str, status: int | None) -> SystemExit:
    print(f"\n{words}", file=sys.stderr)
    return SystemExit(stopped_by(signals.received or signal.SIGINT) if status is None else status)


def error_line(error: BaseException) -> str:
    """Return what an exception says, for a user."""
    if isinstance(error, MemoryError) and not str(error):
        return "memory ran out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


class Refusal(SystemExit):
    """A command line is refused.

    Not an `Exception`: jsonargparse tries one type after another, and an `Exception` refuses but one.

    Args:
        line: What is wrong with it, for the user.
    """

    def __init__(self, line: str) -> None:
        super().__init__(REFUSED)
        self.line = line

    def __reduce__(self) -> tuple[type[Refusal], tuple[str], dict[str, Any]]:
        return type(self), (self.line,), vars(self)


_TELL: ContextVar[bool] = ContextVar("_TELL", default=True)


def refuse(line: str) -> NoReturn:
    """Say why a command line is refused, and end the command.

    Raises:
        Refusal: Always; it ends the process with status 2.
    """
    if _TELL.get():
        print(f"error: {line}", file=sys.stderr)
    raise Refusal(line)


@contextmanager
def refusals_as_errors() -> Iterator[None]:
    """Let what is refused meanwhile be an exception that says why, for callers that are no commands.

    Raises:
        ValueError: In place of the line on standard error and the end of the process.
    """
    before = _TELL.set(False)
    try:
        yield
    except Refusal as refusal:
        raise ValueError(refusal.line) from None
    finally:
        _TELL.reset(before)
