"""A run's `metrics.csv` as it is read: whole rows alone."""

from __future__ import annotations

import csv
from pathlib import Path

Row = dict[str, str]

MOST_STEPS = 2**40
"""No run has more."""


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Read a run's `metrics.csv`: step and value of each scalar, by name. Empty if the file is missing.

    Args:
        path: The file.
    """
    scalars: dict[str, list[tuple[int, float]]] = {}
    for row in read_rows(path):
        step = int(row["step"])
        for name, value in row.items():
            if value and name != "step":
                scalars.setdefault(name, []).append((step, float(value)))
    return scalars


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file that are whole; one that is no table has none."""
    if not path.is_file():
        return []
    text = path.read_bytes().decode("utf-8", "replace").replace("\0", "")
    lines = text.splitlines(keepends=True)
    try:
        table = list(csv.reader(line for line in lines if line.endswith("\n")))
    except csv.Error:
        return []
    if not table or not table[0] or table[0][0] != "step":
        return []
    return [dict(zip(table[0], cells, strict=True)) for cells in table[1:] if _is_whole(cells, len(table[0]))]


def _is_whole(cells: list[str], count: int) -> bool:
    """Tell whether a line is a row, and not what a kill left of one."""
    if len(cells) != count:
        return False
    try:
        step, _ = int(cells[0]), [float(cell) for cell in cells if cell]
    except ValueError:
        return False
    return 0 <= step <= MOST_STEPS
