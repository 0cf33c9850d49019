"""What can be wrong with data, and how it is told."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple


class DataError(ValueError):
    """The data cannot be used as it is; the message says what is wrong, where, and what to do."""


class Rejected(NamedTuple):
    """A file that is left out.

    Attributes:
        path: POSIX path relative to the root.
        reason: Why, in one line.
    """

    path: str
    reason: str


def printable(text: str) -> str:
    """The text fit for a log, a terminal or a line of a report.

    A file name can hold anything: control characters (a line break, an escape sequence that recolors the
    terminal) and bytes that are no UTF-8 are escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in ("Cc", "Cs") else char
        for char in text
    )
