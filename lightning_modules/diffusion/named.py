"""A function of a table, which knows what to say of it before it is imported."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Named:
    """A function that is chosen by a name; calling it calls the function.

    Args:
        path: The function, `module:name`, which is imported when it is called first.
        title: What it is, for a help text.
        settings: Settings of `Sampling` that it takes as keywords of the same names.
    """

    path: str
    title: str
    settings: tuple[str, ...] = ()

    def __call__(self, *args: Any, **settings: Any) -> Any:  # noqa: ANN401
        """Call the function."""
        return pkgutil.resolve_name(self.path)(*args, **settings)


def titles(table: dict[str, Any]) -> str:
    """Return the names of a table with what each one is, for a help text."""
    return ", ".join(f"{name} ({named.title})" for name, named in table.items())
