"""A list of files to leave out, which people can read and edit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from datamodules.errors import DataError, Rejected
from datamodules.utils.io import atomic_write

_HEADER = """\
# Files that training leaves out: the path below the data folder, a tab, the reason.
# Delete a line to let a file in again. A name with a line break or the like stands in quotes, as in JSON.
"""


def write_quarantine(path: Path, files: Iterable[Rejected]) -> None:
    """Write a quarantine list, replacing it at once.

    Args:
        path: The list, a text file.
        files: What to leave out, with reasons.

    Raises:
        OSError: It cannot be written.
    """
    lines = [f"{_quoted(file)}\t{' '.join(reason.split())}\n" for file, reason in files]
    with atomic_write(path) as out:
        # Names that are no UTF-8 are quoted; a reason that quotes one keeps it escaped.
        out.write((_HEADER + "".join(lines)).encode("utf-8", "backslashreplace"))


def read_quarantine(path: Path) -> dict[str, str]:
    """Read a quarantine list.

    Args:
        path: The list. A reason may be missing; empty lines and lines that begin with `#` count for nothing.

    Returns:
        The reason for each path.

    Raises:
        DataError: There is no such file, or a line cannot be understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"the quarantine list {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the quarantine list {path} is no UTF-8 text ({error.reason})") from error
    files = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = line.partition("\t")
        files[_unquoted(name, f"{path}, line {number}")] = reason.strip() or "no reason given"
    return files


def _quoted(file: str) -> str:
    plain = file.isprintable() and file == file.strip() and not file.startswith(('"', "#"))
    return file if plain else json.dumps(file)


def _unquoted(name: str, place: str) -> str:
    if not name.startswith('"'):
        return name.strip()
    try:
        return str(json.loads(name))
    except ValueError as error:
        raise DataError(
            f'{place}: {name} is no name in quotes; write it as JSON does, such as "two\\nlines.jpg"'
        ) from error
