"""What a crash of the machine can make of a file."""

from __future__ import annotations

import os
from pathlib import Path

from lightning_modules.resume_proof.kills import Tear

_END = 64
"""Bytes at the end of an archive, some of which are zero in any case."""


def tear(path: Path, how: Tear, share: float) -> None:
    """Damage a file in place.

    Args:
        path: The file, not empty.
        how: What to do to it.
        share: Where, or how much of it: in [0, 1).
    """
    size = path.stat().st_size
    place = int(share * max(1, size - _END))
    with path.open("r+b") as stream:
        if how is Tear.TRUNCATED:
            os.truncate(stream.fileno(), place)
        elif how is Tear.EMPTY:
            os.truncate(stream.fileno(), 0)
        elif how is Tear.ZEROED:  # its blocks never reached the disk, its size did
            os.truncate(stream.fileno(), place)
            os.truncate(stream.fileno(), size)
        else:
            stream.seek(place)
            byte = stream.read(1)[0]
            stream.seek(place)
            stream.write(bytes([byte ^ 0x01]))
