"""What the files of a folder of checkpoints are called."""

from __future__ import annotations

import re
from pathlib import Path

LAST = "last.ckpt"
"""The link to the newest whole checkpoint."""
_NAME = re.compile(r"step=(\d{8,})\.ckpt")


def checksum_file(path: Path) -> Path:
    """Return the place of a checkpoint's checksum."""
    return path.with_name(f"{path.name}.sha256")


def step_of(path: Path) -> int:
    """Return the optimizer step of a checkpoint `step=00000123.ckpt`.

    Raises:
        ValueError: If it has another name.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not named like a checkpoint, step=00000123.ckpt.")
    return int(match[1])


def is_checkpoint(path: Path) -> bool:
    """Tell whether a file is named like a checkpoint of this project: `step=` and at least eight digits."""
    return _NAME.fullmatch(path.name) is not None


def path_of(folder: Path, step: int) -> Path:
    """Return the place of the checkpoint of an optimizer step."""
    return folder / f"step={step:08d}.ckpt"
