"""Names in messages and pictures, however many there are and however long they are."""

from __future__ import annotations

from collections.abc import Sequence

ELLIPSIS = "…"


def listed(names: Sequence[str], most: int = 8, longest: int = 32) -> str:
    """Join names for a message: all of them if they are few, else the first and how many more there are.

    Args:
        names: The names.
        most: Names that are few enough to be listed.
        longest: Characters of a name that are shown.
    """
    shown = names if len(names) <= most else names[: most - 2]
    text = ", ".join(shortened(name, longest) for name in shown)
    return text if len(shown) == len(names) else f"{text}, … and {len(names) - len(shown):,} more"


def counted(names: Sequence[str], one: str = "class", several: str = "classes") -> str:
    """Say how many there are and which: `3 classes: a, b, c`."""
    return f"{len(names):,} {one if len(names) == 1 else several}: {listed(names)}"


def shortened(text: str, longest: int, dots: str = ELLIPSIS) -> str:
    """Return a text of at most `longest` characters, on one line.

    The middle is left out, since names of a kind often differ at their ends.

    Args:
        text: The text.
        longest: Characters; less than the dots have gives the dots alone.
        dots: What stands for the middle.
    """
    line = " ".join(text.split())
    if len(line) <= longest:
        return line
    room = max(longest - len(dots), 0)
    tail = room // 3
    return f"{line[: room - tail].rstrip()}{dots}{line[len(line) - tail :].lstrip()}"


def installing(extra: str) -> str:
    """Return how what one of the project's extras brings is installed; no package index has the project."""
    return f"pip install '.[{extra}]' in a clone of the project"
