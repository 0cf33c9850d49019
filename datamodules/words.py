"""Names in messages and pictures, however many there are and however long they are."""

from __future__ import annotations

from collections.abc import Sequence


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


def shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters, on one line; an ellipsis stands for the rest."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: max(longest, 1) - 1].rstrip()}…"
