"""Run directories: `runs/<experiment>/<UTC start time>/`, and `latest` beside them."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.resume.files import damaged
from lightning_modules.sampling import Sampling

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
    looked_for = [place / "checkpoints" / "last.ckpt", place / "latest" / "checkpoints" / "last.ckpt"]
    for checkpoint in looked_for:
        if checkpoint.is_file():
            return checkpoint.resolve()
    raise FileNotFoundError(
        f"no checkpoint in {place}: neither {looked_for[0]} nor {looked_for[1]} is there. Give a run "
        f"directory such as runs/demo/latest, an experiment such as runs/demo, or a .ckpt file."
    )


def run_config(checkpoint: Path) -> dict[str, Any] | None:
    """Return the resolved configuration of a checkpoint's run, or none where `config.yaml` is not there.

    Raises:
        ValueError: If it is damaged.
    """
    path = checkpoint.parent.parent / "config.yaml"
    if not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError(f"it holds {type(config).__name__}")
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise damaged(path, _WITHOUT, error) from error
    return config


def run_sampling(checkpoint: Path) -> Sampling:
    """Return how a run draws its own sample grids, or the defaults if its `config.yaml` is not there.

    Raises:
        ValueError: If the configuration is damaged.
    """
    config = run_config(checkpoint)
    if config is None:
        return Sampling()
    try:
        return Sampling.from_dict(config["sample_grid"]["sampling"])
    except (KeyError, TypeError, ValueError) as error:
        path = checkpoint.parent.parent / "config.yaml"
        raise damaged(path, _WITHOUT, ValueError(f"sample_grid.sampling: {error!r}")) from error
