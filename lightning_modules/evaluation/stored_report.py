"""A report that was written, read back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.utils.io import damaged, read_json
from lightning_modules.evaluation.denoising import BandError
from lightning_modules.evaluation.report import Report, Row
from lightning_modules.metrics.figure import Figure, Figures
from lightning_modules.metrics.memorization import Memorization

_REMEDY = "evaluate again"
_NUMBERS = ("distance_ratio", "z", "copies", "copies_val")


def read_report(path: Path) -> Report:
    """Read a report that an evaluation has written, finished or not.

    Args:
        path: Its `report.json`.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is damaged, or of another program.
    """
    stored = read_json(path, _REMEDY)
    try:
        return Report(
            dict(stored["protocol"].items()),
            _figures(stored["floor"]),
            _figures(stored["ceiling"]),
            [_row(row) for row in stored["rows"]],
            {
                name: [BandError(**_fields(BandError, band)) for band in found]
                for name, found in stored["error_by_noise_level"].items()
            },
            bool(stored["complete"]),
        )
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise damaged(path, _REMEDY, error) from error


def _row(stored: Mapping[str, Any]) -> Row:
    found = stored["memorization"]
    if found is not None:
        found = _fields(Memorization, found)
        low, high = found["distance_ratio_interval"]
        found["distance_ratio_interval"] = (low, high)
        for number in (low, high, *(found[name] for name in _NUMBERS)):
            _check_number(number)
    gauge = None if found is None else Memorization(**found)
    return Row(str(stored["name"]), dict(stored["facts"].items()), _figures(stored["figures"]), gauge)


def _figures(stored: Mapping[str, Any]) -> Figures:
    return {name: _figure(**figure) for name, figure in stored.items()}


def _figure(value: float | None, low: float | None, high: float | None, note: str) -> Figure:
    for number in (value, low, high):
        if number is not None:
            _check_number(number)
    return Figure(value, low, high, str(note))


def _check_number(number: object) -> None:
    """Refuse what is no number, or one that is not finite."""
    if not isinstance(number, int | float) or not math.isfinite(number):
        raise TypeError(f"{number!r} is no number")


def _fields(kind: type, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a dataclass is made of, without those that follow from them."""
    return {field.name: stored[field.name] for field in dataclasses.fields(kind)}
