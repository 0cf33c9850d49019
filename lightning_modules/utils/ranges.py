"""Settings that are out of their range are refused where they are made."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """What a setting must be."""

    name: str
    value: object
    fits: bool
    wanted: str
    """What it must be, after "is": `at least 1`."""


def check_ranges(*rules: Rule) -> None:
    """Refuse the first setting that does not fit its rule.

    Raises:
        ValueError: With its name, what it must be, and what was given.
    """
    for rule in rules:
        if not rule.fits:
            raise ValueError(f"{rule.name} is {rule.wanted}, not {rule.value}.")


def at_least(name: str, value: float, least: float) -> Rule:
    """Return the rule of a finite number that is at least so large."""
    return Rule(name, value, least <= value < float("inf"), f"at least {least:g}")


def above(name: str, value: float, bound: float = 0) -> Rule:
    """Return the rule of a finite number above a bound."""
    return Rule(name, value, bound < value < float("inf"), f"above {bound:g}")


def share(name: str, value: float, whole: bool = True) -> Rule:
    """Return the rule of a share from 0 to 1, of which 1 itself may be left out."""
    fits = 0 <= value <= 1 if whole else 0 <= value < 1
    return Rule(name, value, fits, "from 0 to 1" if whole else "at least 0 and below 1")
