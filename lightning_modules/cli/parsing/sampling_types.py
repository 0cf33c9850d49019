"""Types of the options that say how much is sampled, and how."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping

from lightning_modules.cli.parsing.scripts import number, whole
from lightning_modules.ema.profiles import LONGEST

count = whole(1, 10_000_000)
"""A number of images; a larger one is a slip of the hand."""

steps = whole(1, 100_000)
"""A number of steps or evaluations."""

seed = whole(0, 2**63 - 1)


def noise_level(text: str) -> float:
    """Return a noise level that ends an interval: at least 0, `inf` included."""
    return math.inf if text.strip().lower() in ("inf", "infinity") else number(least=0.0)(text)


def guide_length(text: str) -> float:
    """Return the length of an average to guide away from, or 0 for none."""
    value = number(least=0.0)(text)
    if value > LONGEST:
        raise argparse.ArgumentTypeError(
            f"must be the length of an average, at most {LONGEST:.4f}, or 0, not {value:g}"
        )
    return value


def share(text: str) -> tuple[int, int]:
    """Return which share of the work `K/N` is, K counted from 0."""
    place, slash, parts = text.partition("/")
    plain = all(part.isascii() and part.isdecimal() for part in (place, parts))
    if not (slash and plain and 1 <= int(place) <= int(parts)):
        raise argparse.ArgumentTypeError(f"must be K/N with K from 1 to N, such as 2/4, not '{text}'")
    return int(place) - 1, int(parts)


def share_of_environment(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the share that RANK and WORLD_SIZE name, as torchrun sets them; all of the work without them.

    Raises:
        argparse.ArgumentTypeError: If one is no number, or the two do not fit together.
    """
    rank, world = (environment.get(name, "").strip() for name in ("RANK", "WORLD_SIZE"))
    if not rank and not world:
        return 0, 1
    try:
        place, parts = whole(0)(rank or "0"), whole(1)(world or "1")
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"the environment has RANK={rank} and WORLD_SIZE={world}, of which one {error}: unset them, or "
            f"give --part"
        ) from None
    if place >= parts:
        raise argparse.ArgumentTypeError(
            f"the environment has RANK={rank} and WORLD_SIZE={world}, but RANK counts from 0 and is below "
            f"WORLD_SIZE: unset them, or give --part"
        )
    return place, parts
