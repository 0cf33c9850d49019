"""Which entry point of which file a `modal run` command line means, read before the file's app exists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """An entry point and its options.

    Attributes:
        name: The entry point.
        args: What stands behind it, verbatim.
    """

    name: str
    args: list[str]

    @property
    def asks_for_help(self) -> bool:
        """Whether the user wants to know how to use it."""
        return any(arg in ("--help", "-h") for arg in self.args)


def entry_point(argv: Sequence[str], file: Path) -> Command | None:
    """Return what a command line of `modal run` runs in a file, or None if it runs nothing there.

    Modal imports the file before it makes an app, and calls the entry point after. What is to be refused
    without an app, and what the app itself is made of, must be known at the import.

    Args:
        argv: The process's command line, `sys.argv`.
        file: The file that is being imported.
    """
    if "run" not in argv[:2]:
        return None
    for position, arg in enumerate(argv[2:], 2):
        place, colons, name = arg.partition("::")
        if colons and Path(place).name in (file.name, file.stem):
            return Command(name.removeprefix("app."), list(argv[position + 1 :]))
    return None
