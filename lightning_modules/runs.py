"""Run directories: `runs/<experiment>/<UTC start time>/`, and `latest` beside them."""

from __future__ import annotations

import difflib
import itertools
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.checkpoints.errors import DamagedCheckpointError
from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.resume.files import damaged
from lightning_modules.sampling import Sampling

SAMPLING = "sampling"
"""Entry of a checkpoint: how its run draws its sample grids, `Sampling.to_dict`."""

_WITHOUT = "copy the checkpoint out of the run, to use it without"


def run_name(now: datetime | None = None) -> str:
    """Return the name of a run that starts at a moment, by default this one: 2026-11-23T19-12-31Z."""
    return f"{now or datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"


def next_run_directory(experiment: Path) -> Path:
    """Return a path for a run that starts now; a second one in the same second gets `-2` behind its name."""
    name = run_name()
    candidates = (experiment / (name if i == 1 else f"{name}-{i}") for i in itertools.count(1))
    return next(path for path in candidates if not path.exists())


def start_run_directory(folder: Path) -> None:
    """Make a run directory, with the folder of its checkpoints.

    Raises:
        FileExistsError: If another run of the experiment began in the same second.
    """
    (folder / "checkpoints").mkdir(parents=True)


def point_latest(folder: Path) -> None:
    """Let `latest` beside a run directory point to it."""
    if (folder.parent / "latest").is_symlink() and (folder.parent / "latest").readlink() == Path(folder.name):
        return
    link = folder.with_name(f".latest.{os.getpid()}")
    link.unlink(missing_ok=True)  # of a process of the same number that was killed here
    link.symlink_to(folder.name, target_is_directory=True)
    link.replace(folder.with_name("latest"))


def find_checkpoint(place: Path) -> Path:
    """Return the newest checkpoint of a place.

    Args:
        place: A checkpoint, a run directory, or an experiment's directory, whose `latest` run it is.

    Raises:
        FileNotFoundError: If there is none, with where it was looked for.
    """
    if place.is_file():
        return place
    if not place.exists():
        raise FileNotFoundError(_what_there_is(place))
    looked_for = [place / "checkpoints" / "last.ckpt", place / "latest" / "checkpoints" / "last.ckpt"]
    for checkpoint in looked_for:
        if checkpoint.is_file():
            return checkpoint.resolve()
    raise FileNotFoundError(
        f"no checkpoint in {place}: neither {looked_for[0]} nor {looked_for[1]} is there. Give a run "
        f"directory such as runs/demo/latest, an experiment such as runs/demo, or a .ckpt file."
    )


def run_config(checkpoint: Path) -> dict[str, Any] | None:
    """Return the resolved configuration of a checkpoint's run, or none where it lies in no run with one.

    Raises:
        ValueError: If it is damaged.
    """
    folder = checkpoint.resolve().parent
    path = folder.parent / "config.yaml"
    if folder.name != "checkpoints" or not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError(f"it holds {type(config).__name__}")
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise damaged(path, _WITHOUT, error) from error
    return config


def run_sampling(checkpoint: Path) -> Sampling:
    """Return how a checkpoint's run draws its own sample grids, which the checkpoint says wherever it lies.

    The defaults, if the run was trained without sample grids.

    Raises:
        ValueError: If it is no whole checkpoint.
    """
    stored = open_checkpoint(checkpoint).get(SAMPLING)
    if stored is None:
        return Sampling()
    try:
        return Sampling.from_dict(stored)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(
            f"{checkpoint}: its sampling settings cannot be used ({error})"
        ) from error


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
