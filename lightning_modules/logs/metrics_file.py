from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from datamodules.utils.io import atomic_write
from lightning_modules.logs.metrics_table import Row, read_rows
from lightning_modules.run.directory import RunDirectory

_log = logging.getLogger(__name__)


class MetricsFile(Logger):
    """`metrics.csv` in the run directory: every scalar of a run, a row for each step, a column for each name.

    The file of a run that was killed and continued is that of a run that was not: rows that a killed process
    wrote after its last checkpoint are taken back. A row is one write, so a kill leaves whole lines; where
    the disk refuses it, training goes on and the row is written later.

    Lightning's `CSVLogger` deletes the file of the process before, and rewrites it in place for a new name.

    Args:
        folder: The run directory.
        resumed_step: Steps that this process starts with.
    """

    def __init__(self, folder: Path, resumed_step: int = 0) -> None:
        super().__init__()
        self.path = RunDirectory(folder).metrics
        self._columns: list[str] = []
        self._rows: list[Row] = []  # not on the disk for good: the last one may still grow
        self._final_step = resumed_step  # rows up to it stay as they are
        self._end = 0  # bytes of the header and of the rows that stay
        self._opened = self._refused = False

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.path.parent.parent.name

    @property
    def version(self) -> str:
        """The run's name."""
        return self.path.parent.name

    @property
    def save_dir(self) -> str:
        """The run directory."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Write nothing: `config.yaml` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add scalars to the row of a step; `step` counts from 0."""
        scalars = {name: repr(float(value)) for name, value in metrics.items() if _is_scalar(name, value)}
        newest = int(self._rows[-1]["step"]) if self._rows else self._final_step
        at = newest if step is None else step + 1
        if not self._rows or newest != at:
            self._rows.append({"step": str(at)})
        self._rows[-1] |= scalars

    @rank_zero_only
    def save(self) -> None:
        """Bring the rows to the disk."""
        if not self._rows:
            return
        try:
            self._write()
            self._refused = False
        except OSError as error:
            self._opened = False
            if not self._refused:
                _log.error("Training goes on. %s is written when the disk allows it: %s", self.path, error)
            self._refused = True

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Bring the rows to the disk for the last time."""
        if status == "success" and not self._opened and self.path.exists():
            try:
                self._open()  # takes rows back, even if this process had nothing to log
            except OSError as error:
                _log.error("%s was not written: %s", self.path, error)
        self.save()

    def _write(self) -> None:
        if not self._opened:
            self._open()
        if any(row.keys() - {"step", *self._columns} for row in self._rows):
            self._rewrite(
                read_rows(self.path), [*self._columns, *(name for row in self._rows for name in row)]
            )
        lines = [_line([row.get(name, "") for name in ("step", *self._columns)]) for row in self._rows]
        with self.path.open("r+b") as file:
            file.seek(self._end)
            file.write(b"".join(lines))
            file.truncate()
        self._end += sum(map(len, lines[:-1]))
        self._final_step = max(self._final_step, *(int(row["step"]) for row in self._rows[:-1]), 0)
        self._rows = self._rows[-1:]

    def _open(self) -> None:
        """Take back the rows of steps that are to be taken again."""
        kept = [row for row in read_rows(self.path) if int(row["step"]) <= self._final_step]
        self._rewrite(kept, [name for row in kept for name, value in row.items() if value])
        self._opened = True

    def _rewrite(self, rows: Iterable[Row], names: Iterable[str]) -> None:
        columns = sorted({*names} - {"step"}, key=_place)
        kept = (row for row in rows if int(row["step"]) <= self._final_step)
        cells = [["step", *columns], *([row.get(name, "") for name in ("step", *columns)] for row in kept)]
        content = b"".join(map(_line, cells))
        if not self.path.exists() or self.path.read_bytes() != content:
            with atomic_write(self.path) as file:
                file.write(content)
        self._columns, self._end = columns, len(content)


def _is_scalar(name: str, value: object) -> bool:
    """Leave out Lightning's count of epochs, which is 0 for ever, and groups of curves."""
    return name != "epoch" and not isinstance(value, Mapping)


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _place(name: str) -> tuple[bool, list[str | float]]:
    """Order columns: single names first, then groups, and 2 before 10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return "/" in name, [float(part) if i % 2 else part for i, part in enumerate(parts)]
