"""Lists on a command line, with commas between."""

from __future__ import annotations


def names(text: str) -> list[str]:
    """Return the parts of `a,b,c`."""
    return text.split(",")


def integers(text: str) -> list[int]:
    """Return the numbers of `1,2,3`; argparse turns the `ValueError` of anything else into a usage error."""
    return [int(part) for part in text.split(",")]


def numbers(text: str) -> list[float]:
    """Return the numbers of `0.5,1,1e-3`, as `integers` does."""
    return [float(part) for part in text.split(",")]
