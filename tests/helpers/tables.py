"""The entries of the tables, made with their defaults."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any


def made(table: Mapping[str, str]) -> list[Any]:
    """One of each class of a table."""
    return [pkgutil.resolve_name(path)() for path in table.values()]
