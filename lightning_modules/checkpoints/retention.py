"""Which checkpoints stay, and the deletion of the others."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

from datamodules.utils.io import sync_folder
from lightning_modules.checkpoints.names import checksum_file


def steps_to_delete(
    steps: Collection[int],
    last: int | None,
    keep_last: int,
    keep_every_n_steps: int = 0,
    scores: Mapping[int, float] | None = None,
    keep_best: int = 0,
    mode: Literal["min", "max"] = "min",
) -> set[int]:
    """Choose the checkpoints to delete, by their steps.

    One that any of the rules keeps stays. The one that `last` names, which is known to be whole, always
    stays; if no checkpoint is known to be whole, nothing is deleted.

    Args:
        steps: The checkpoints that are there.
        last: The newest one that is known to be whole, the one `last.ckpt` points to.
        keep_last: Number of newest ones to keep.
        keep_every_n_steps: Keep those whose step is a multiple, forever; 0: none.
        scores: The monitored metric of those that have one; NaN is no score.
        keep_best: Number of best ones to keep; of two with the same score the later is better.
        mode: Whether the best score is the lowest or the highest.

    Raises:
        ValueError: If a number is negative.
    """
    for name, number in {
        "keep_last": keep_last,
        "keep_every_n_steps": keep_every_n_steps,
        "keep_best": keep_best,
    }.items():
        if number < 0:
            raise ValueError(f"checkpoint: {name} is 0 or more, not {number}.")
    if last is None or last not in steps:
        return set()
    kept = {last, *sorted(steps)[len(steps) - min(keep_last, len(steps)) :]}
    if keep_every_n_steps:
        kept.update(step for step in steps if step % keep_every_n_steps == 0)
    sign = 1 if mode == "max" else -1
    scored = {step: sign * score for step, score in (scores or {}).items() if not math.isnan(score)}
    best = sorted((step for step in steps if step in scored), key=lambda step: (scored[step], step))
    kept.update(best[len(best) - min(keep_best, len(best)) :])
    return set(steps) - kept


def delete_checkpoints(paths: Iterable[Path]) -> None:
    """Delete checkpoints and their checksums; those that are gone already are skipped.

    All checkpoints go first, and their going is on the disk before a checksum goes: at any moment the
    process or the machine stops at, no checkpoint is left without its checksum, which would pass for damaged.

    Raises:
        OSError: If the file system refuses.
    """
    paths = list(paths)
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths if path.parent.is_dir()}:
        sync_folder(folder)
    for path in paths:
        checksum_file(path).unlink(missing_ok=True)
