"""Text of others in Markdown: shown as it is, never read as markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from datamodules.errors import printable

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#!|~&$@^]|:(?! )|\.(?=[A-Za-z]))")
"""What means something within a line, addresses that forges turn into links included."""
_AT_THE_START = re.compile(r"^(\d+(?=[.)](?: |$))|(?=[-+=]))(.*)$")
"""What makes a list or a heading of a line."""


def escaped(text: object) -> str:
    """Return a text for a line of Markdown, in which every character stands for itself.

    A name can hold anything: markup, HTML, a line break, an address that would become a link.
    """
    line = printable(" ".join(str(text).split()))
    line = _MARKUP.sub(r"\\\1", line)
    return f"{start[1]}\\{start[2]}" if (start := _AT_THE_START.match(line)) else line


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay a table out.

    Args:
        heads: Markdown.
        rows: Cells, of which each is escaped.
    """
    lines = [heads, ["---"] * len(heads), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str, language: str) -> str:
    """Return a text as a block of code, whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
