"""Speaking to a user who may have gone."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

PATIENCE = 5.0
"""Seconds to wait for a terminal or a pipe that takes nothing."""


class UnfailingStream:
    """A text stream that says what it can and never raises: its reader may have gone, its disk be full.

    What cannot be written is dropped. A reader that takes nothing (a terminal that stands still, a pager) is
    waited for once, and then what it would have read is dropped until it takes something again.

    Args:
        stream: The stream to write to; none, as `sys.stdout` is where it was closed, drops everything.
        patience: Longest wait for a reader in seconds.
    """

    def __init__(self, stream: TextIO | None, patience: float = PATIENCE) -> None:
        self._stream, self._patience = stream, patience
        self._stalled = False

    def write(self, text: str) -> int:
        """Write what can be written, and return the length of the text."""
        if self._stream is not None and self._takes_more():
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except (OSError, ValueError):
                pass
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what was written."""
        if self._stream is not None and self._takes_more():
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Tell whether this is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)

    def _takes_more(self) -> bool:
        """Tell whether a write would return, after a wait for it."""
        if not hasattr(select, "poll"):
            return True
        assert self._stream is not None
        try:
            look = select.poll()
            look.register(self._stream.fileno(), select.POLLOUT)
            self._stalled = not look.poll(0 if self._stalled else 1000 * self._patience)
        except (OSError, ValueError, AttributeError):
            return True
        return not self._stalled


def guard_output() -> tuple[Any, Any]:
    """Let what is written to standard output and error never be what ends this process.

    Descriptors that were closed before the process began are opened: else the next file would have the number
    that everything else takes for the terminal's.

    Returns:
        The two streams as they were.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure") and not isinstance(stream, UnfailingStream):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(line_buffering=True)  # a pipe's reader sees a line when it is written
    sys.stdout, sys.stderr = map(unfailing, before)
    return before


@contextmanager
def guarded_output() -> Iterator[None]:
    """As `guard_output`, for as long as a `with` block takes."""
    before = guard_output()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unfailing(stream: Any) -> Any:  # noqa: ANN401
    """Return a stream that never raises and writes to another one."""
    return stream if isinstance(stream, UnfailingStream) else UnfailingStream(stream)


def is_terminal(stream: Any) -> bool:  # noqa: ANN401
    """Tell whether a stream is a terminal that can take back what it has shown, as a bar does."""
    return unfailing(stream).isatty() and os.environ.get("TERM") != "dumb"


def in_notebook() -> bool:
    """Tell whether a notebook shows what is written, which is no terminal and has bars of its own."""
    return type(sys.stdout).__module__.partition(".")[0] == "ipykernel"


def width_options(terminal: UnfailingStream) -> dict[str, Any]:
    """Return tqdm's options for the width of a bar: the terminal's, or 80 columns where it tells none."""
    try:
        known = os.get_terminal_size(terminal.fileno()).columns > 0
    except (OSError, ValueError, AttributeError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}
