"""Finding a run or a checkpoint from what somebody names."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml

from datamodules.utils.io import damaged
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.run.directory import LATEST, RunDirectory
from lightning_modules.run.experiment import newest_run

EXPORTED = "model.safetensors"
"""The weights in a folder that was exported to be published, which is loaded as it is."""

_WITHOUT = "copy the checkpoint out of the run, to use it without"


def real_place(place: Path) -> Path:
    """Return a path in whose middle or at whose end `latest` may stand, though there is no such folder."""
    for part in (place, *place.parents):
        if (
            part.name == LATEST
            and not RunDirectory(part).is_run
            and (run := newest_run(part.parent)) is not None
        ):
            return run / place.relative_to(part)
    return place


def find_run(place: Path) -> Path | None:
    """Return the run directory that a place means: its own, or an experiment's newest; None if it is neither.

    Args:
        place: A run directory, `latest`, or an experiment's directory, on this file system or copied from
            another one.
    """
    place = real_place(place)
    return place if RunDirectory(place).is_run else newest_run(place)


def find_checkpoint(place: Path) -> Path:
    """Return the newest checkpoint of a place.

    Args:
        place: A checkpoint, a run directory, or an experiment's directory, whose newest run it is; or a
            folder that was exported to be published, whose weights it is.

    Raises:
        FileNotFoundError: If it does not exist, with where it was looked for.
    """
    place = real_place(place)
    if place.is_file():
        return place
    if not place.exists():
        raise FileNotFoundError(_what_there_is(place))
    run = find_run(place)
    if run is not None:
        there = checkpoints_in(RunDirectory(run).checkpoints)
        last = RunDirectory(run).last
        if there or last.is_file():
            return (there[-1] if there else last).resolve()
    if (place / EXPORTED).is_file():
        return place / EXPORTED
    looked_for = [RunDirectory(each).checkpoints for each in (place, run or place / LATEST)]
    where = " or ".join(dict.fromkeys(map(str, looked_for)))
    raise FileNotFoundError(
        f"no checkpoint in {place}: {where} has no checkpoint. Give a run directory such as "
        f"runs/demo/latest, an experiment such as runs/demo, or a .ckpt file."
    )


def run_config(checkpoint: Path) -> dict[str, Any] | None:
    """Return the resolved configuration of a checkpoint's run, or None if it lies in no run with one.

    Raises:
        ValueError: If it is damaged.
    """
    run = RunDirectory.containing(checkpoint.resolve())
    if run is None or not run.config.is_file():
        return None
    path = run.config
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError(f"it holds {type(config).__name__}")
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise damaged(path, _WITHOUT, error) from error
    return config


def _what_there_is(place: Path) -> str:
    """Name what lies near a place that is not there: the folder's checkpoints, or a name like it."""
    folder = place.parent
    steps = [path.name for path in checkpoints_in(folder)]
    if steps:
        kept = ", ".join([*steps[:3], "...", *steps[-3:]] if len(steps) > 7 else steps)
        return (
            f"there is no {place.name} in {folder}: its checkpoints are {kept}. Older ones are deleted; "
            f"--checkpoint.keep_every_n_steps keeps some of them in training"
        )
    siblings = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(place.name, siblings, n=1)
    hint = f"; did you mean {folder / near[0]}?" if near else ""
    return f"no checkpoint in {place}, which does not exist{hint}"
