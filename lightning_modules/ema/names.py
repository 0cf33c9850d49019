"""What a run's sets of weights are called on command lines: `ema`, `raw`, `ema=0.1`."""

from __future__ import annotations

import argparse

from lightning_modules.ema.profiles import exponent_of

EMA, RAW = "ema", "raw"
HELP = "ema, raw, or ema=LENGTH such as ema=0.1: an average of another relative length"


class WeightsNameError(argparse.ArgumentTypeError, ValueError):
    """No set of weights has this name; argparse shows the message as it is."""


def weights_name(text: str) -> str:
    """Return the name of a set of weights as it is written everywhere: `ema=0.10` is `ema=0.1`.

    Raises:
        WeightsNameError: If it is no such name.
    """
    name = text.strip()
    kind, equals, value = name.partition("=")
    if name in (EMA, RAW):
        return name
    if kind != EMA or not equals:
        raise WeightsNameError(f"{text!r} is not ema, raw or ema=LENGTH")
    try:
        length = float(value)
        exponent_of(length)
    except ValueError as error:
        raise WeightsNameError(f"{text!r}: {error}") from error
    return f"{EMA}={length}"


def weights_names(text: str) -> list[str]:
    """Return the names of several sets of weights, given with commas between.

    Raises:
        WeightsNameError: If one is no such name.
    """
    return [weights_name(part) for part in text.split(",")]


def length_in(name: str) -> float | None:
    """Return the length that a name asks for, or None if it is `ema` or `raw`.

    Raises:
        WeightsNameError: If it is no name.
    """
    _, _, value = weights_name(name).partition("=")
    return float(value) if value else None
