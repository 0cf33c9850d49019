"""How and when a run is to be killed, drawn in advance from a seed."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A way to stop a run, by its name on the command line."""

    SIGKILL = "sigkill"
    SIGTERM = "sigterm"
    SIGINT = "sigint"
    TORN = "torn"
    FULL_DISK = "full-disk"
    BETWEEN_WRITE_AND_RENAME = "between-write-and-rename"

    @property
    def signal(self) -> signal.Signals:
        """The signal that is sent; a full disk and a torn checkpoint go with a SIGKILL."""
        asked = {Kind.SIGTERM: signal.SIGTERM, Kind.SIGINT: signal.SIGINT}
        return asked.get(self, signal.SIGKILL)


class Tear(StrEnum):
    """What becomes of the newest checkpoint after the kill."""

    TRUNCATED = "truncated"
    EMPTY = "empty"
    ZEROED = "zeroed"
    FLIPPED = "one byte flipped"


class Moment(StrEnum):
    """A moment within the writing of a checkpoint: in its bytes, or right before a change of a name."""

    BYTES = "in the bytes"
    CHECKSUM = "before the checksum's rename"
    RENAME = "before the checkpoint's rename"
    LAST = "before last.ckpt moves"
    DELETION = "before an older one is deleted"


DETAILS: dict[Kind, tuple[str, ...]] = {
    Kind.TORN: tuple(Tear),
    Kind.BETWEEN_WRITE_AND_RENAME: tuple(Moment),
}
STARTUP_SHARE = 0.15
"""Share of the kills, of those kinds that can, that come before the first micro-batch."""


@dataclass(frozen=True)
class Kill:
    """One kill of the plan.

    Attributes:
        kind: The way.
        micro_batch: The micro-batch, counted over the whole run, from whose start on it is due.
        in_startup: Whether it comes before the process has begun with its first micro-batch instead.
        share: How far into the micro-batch, or the start-up, or the bytes: in [0, 1).
        detail: The tear or the moment in the writing, where the kind has such.
    """

    kind: Kind
    micro_batch: int
    in_startup: bool
    share: float
    detail: str = ""


def draw_kills(seed: int, count: int, kinds: Sequence[Kind], micro_batches: int) -> list[Kill]:
    """Draw the kills of a run, in the order of their moments; each kind is as frequent as the others.

    Args:
        seed: The same seed draws the same plan.
        count: Number of kills.
        kinds: Ways to choose from.
        micro_batches: Length of the run.

    Raises:
        ValueError: If there is nothing to draw from.
    """
    if count and (not kinds or micro_batches < 1):
        raise ValueError("a plan of kills needs one kind and one micro-batch at least")
    generator = random.Random(seed)
    moments = sorted(generator.randrange(micro_batches) for _ in range(count))
    ways = [kinds[number % len(kinds)] for number in range(count)]
    generator.shuffle(ways)
    kills = []
    for kind, micro_batch in zip(ways, moments, strict=True):
        anywhere = kind not in (Kind.FULL_DISK, Kind.BETWEEN_WRITE_AND_RENAME)
        in_startup = generator.random() < STARTUP_SHARE and anywhere
        share = generator.random()
        detail = generator.choice(DETAILS.get(kind, ("",)))
        kills.append(Kill(kind, micro_batch, in_startup, share, str(detail)))
    return kills
